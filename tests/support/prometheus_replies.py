"""Bodies of replies of Prometheus, and of what is none."""

from __future__ import annotations

import json

from tuneloop_operator.prometheus.answer import CLOCK_DIFFERENCE_SECONDS, MOST_BYTES

NOW = 1_700_000_000.0


def vector(*values, at=NOW):
    return {
        "resultType": "vector",
        "result": [{"metric": {"n": str(n)}, "value": [at, value]} for n, value in enumerate(values)],
    }


def success(data, **more):
    return json.dumps({"status": "success", "data": data} | more).encode()


def series(sample):
    return success({"resultType": "vector", "result": [sample]})


ERRORS = {
    "many series": (success(vector("1", "1")), "2 series, and one is needed"),
    "NaN": (success(vector("NaN")), "the value is NaN, which is no finite number"),
    "infinite": (success(vector("+Inf")), r"the value is \+Inf"),
    "too large for a number": (success(vector("1e999")), "the value is 1e999"),
    "Python's digits": (success(vector("1_0")), "the value is 1_0"),
    "digits of another script": (success(vector("١")), "the value is ١"),
    "a blank": (success(vector(" 1")), "which is no finite number"),
    "a number in place of a text": (success(vector(1)), "no pair of a time and a text"),
    "true as a time": (success(vector("1", at=True)), "no pair of a time and a text"),
    "a triple": (series({"value": [NOW, "1", "2"]}), "no pair of a time and a text"),
    "two values": (series({"value": [NOW, "1"], "histogram": [NOW, {}]}), "native histogram"),
    "a histogram": (series({"histogram": [NOW, {"count": "1"}]}), "native histogram"),
    "a series that is none": (series("x"), "no single value"),
    "a string": (success({"resultType": "string", "result": [NOW, "1"]}), "the result is string; allowed is one number"),
    "a matrix": (success({"resultType": "matrix", "result": []}), "the result is matrix"),
    "an unknown type": (success({"resultType": ["vector"], "result": []}), "allowed is one number"),
    "no type": (success({"result": []}), "the result is nothing"),
    "no data": (json.dumps({"status": "success"}).encode(), "the result is nothing"),
    "an empty scalar": (success({"resultType": "scalar", "result": []}), "no pair of a time and a text"),
    "a scalar without a result": (success({"resultType": "scalar"}), "no pair of a time and a text"),
    "a vector without a result": (success({"resultType": "vector"}), "a vector that is no list"),
    "a vector that is an object": (success({"resultType": "vector", "result": {}}), "a vector that is no list"),
    "warnings": (success(vector("1"), warnings=["a store\nis away"]), "may be wrong or in part: .*a store.*is away"),
    "a warning that is no list": (success(vector("1"), warnings="x"), "may be wrong or in part: x"),
    "a part": (success(vector("1"), isPartial=True), "only a part"),
    "an empty part": (success(vector(), isPartial=True), "only a part"),
    "an empty result with warnings": (success(vector(), warnings=["w"]), "may be wrong or in part"),
    "an error": (
        b'{"status":"error","errorType":"bad_data","error":"parse error","data":{"resultType":"vector","result":[]}}',
        "HTTP 200, bad_data: parse error",
    ),
    "no status": (json.dumps({"data": vector("1")}).encode(), "HTTP 200, without success"),
    "a list": (b"[1]", "JSON that is no object"),
    "a number": (b"1", "JSON that is no object"),
    "nothing": (b"", "the answer is no JSON"),
    "half of it": (success(vector("1"))[:-2], "the answer is no JSON"),
    "a second document": (success(vector("1")) * 2, "the answer is no JSON"),
    "a constant": (b'{"status":"success","x":NaN}', "the answer is no JSON: NaN"),
    "Latin-1": (success(vector("1")) .replace(b"metric", b"m\xe9tric"), "not UTF-8"),
    "UTF-16": (success(vector("1")).decode().encode("utf-16"), "not UTF-8"),
    "a key twice": (success(vector("1")).replace(b'"status"', b'"status": "success", "status"'), "names a key twice"),
    "a key twice below": (success(vector("1")).replace(b'"value"', b'"value": [0, "9"], "value"'), "names a key twice"),
    "deep JSON": (b"[" * 200_000, "nested too deep"),
    "deep objects": (b'{"a":' * 200_000, "nested too deep"),
    "an old sample": (success(vector("1", at=NOW - CLOCK_DIFFERENCE_SECONDS - 1)), "of a time 61 s behind this clock"),
    "a sample of tomorrow": (success(vector("1", at=NOW + 86400)), "of a time 86400 s ahead of this clock"),
    "a time past all": (success(vector("1")).replace(b"1700000000.0", b"1" + b"0" * 5000), "of a time inf s ahead"),
    "too large": (success(vector("1")).ljust(MOST_BYTES + 1), f"more than {MOST_BYTES} bytes"),
}  # fmt: skip
