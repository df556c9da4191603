"""What texts in a manifest must look like: a pattern for machines, and the same in words for people.

Patterns are RE2 (no look-around, no quote): the API server checks them with Go's regexp, as a CEL rule whose message are the words. `$` is the very
end, and `.` stands for no line break.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import StringConstraints

from tuneloop_api.wire.rules import EXAMPLE

_CONTROL = r"\x00-\x1f\x7f"
_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_WORDS = "[A-Za-z0-9_]+([._-][A-Za-z0-9_]+)*"


@dataclass(frozen=True, kw_only=True)
class TextFormat:
    """What a text must look like."""

    pattern: str
    allowed: str
    """The pattern in words, beginning with "must"."""
    example: str

    @property
    def message(self) -> str:
        """What is shown behind the path and the text that was given."""
        return f"{self.allowed}{EXAMPLE}{self.example}"

    def text(self, *, most: int) -> StringConstraints:
        """Return the constraint for a field of at most so many characters."""
        return StringConstraints(max_length=most, pattern=self.pattern)


_LETTER = rf"[^/{_CONTROL}%\\]"
_PARTS = rf"(/(\.{{0,2}}[^/.{_CONTROL}%\\]{_LETTER}*|\.{{3}}{_LETTER}*))+/?"
"""A path in which no part is empty, `.` or `..`."""
_FILES = f"(file://|pvc://{_SUBDOMAIN}){_PARTS}"
_BUCKET = "[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]"
_FILES_OR_OBJECTS = f"(file://|pvc://{_SUBDOMAIN}|(s3|gs|az)://{_BUCKET}){_PARTS}"
_OBJECT_WORDS = "s3://BUCKET/PATH, gs://BUCKET/PATH, az://CONTAINER/PATH"
_PATH_WORDS = "PATH has no empty part, no . or .. as a part, no %, no backslash and no control character"

NAME = TextFormat(
    pattern=f"^{_SUBDOMAIN}$",
    allowed="must be the name of an object: a-z, 0-9, - and ., beginning and ending with a letter or digit",
    example="reviews",
)
CPU = TextFormat(
    pattern=r"^([0-9]+|[0-9]*\.[0-9]+|[0-9]+m)$",
    allowed="must be a number of cores, or thousandths of a core with m",
    example="4 or 500m",
)
MEMORY = TextFormat(
    pattern=r"^([0-9]+|[0-9]*\.[0-9]+)(k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$",
    allowed="must be a number of bytes with a unit: k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi or Ei",
    example="16Gi",
)
DURATION = TextFormat(
    pattern="^([0-9]{1,4}d([0-9]{1,5}h)?([0-9]{1,6}m)?([0-9]{1,8}s)?|[0-9]{1,5}h([0-9]{1,6}m)?([0-9]{1,8}s)?"
    "|[0-9]{1,6}m([0-9]{1,8}s)?|[0-9]{1,8}s)$",
    allowed="must be whole numbers with the units d, h, m, s: each once, largest first, at most 9999d, 99999h, 999999m, 99999999s",
    example="30s, 10m or 1h30m",
)
"""No value overflows the API server's 64-bit nanoseconds."""
MODEL_URI = TextFormat(
    pattern=f"^({_FILES_OR_OBJECTS}|hf://{_WORDS}/{_WORDS})$",
    allowed=f"must be pvc://CLAIM/PATH, hf://ORG/NAME, {_OBJECT_WORDS} or, in local mode only, file:///PATH; {_PATH_WORDS}",
    example="hf://FacebookAI/roberta-base",
)
BASE_MODEL_URI = TextFormat(
    pattern=MODEL_URI.pattern.removesuffix(")$") + "|job://[a-z]([-a-z0-9]{0,46}[a-z0-9])?)$",
    allowed=f"{MODEL_URI.allowed}; or job://NAME for the model of another FineTuneJob",
    example=MODEL_URI.example,
)
FILES_URI = TextFormat(
    pattern=f"^{_FILES}$",
    allowed=f"must be pvc://CLAIM/PATH or, in local mode only, file:///PATH; {_PATH_WORDS}",
    example="pvc://models/reviews.csv",
)
BUCKET_URI = TextFormat(
    pattern=f"^(s3|gs|az)://{_BUCKET}{_PARTS}$",
    allowed=f"must be {_OBJECT_WORDS}; {_PATH_WORDS}",
    example="s3://labels/team-a",
)
DATA_URI = TextFormat(
    pattern=f"^({_FILES_OR_OBJECTS}|feedback://[a-z]([-a-z0-9]{{0,34}}[a-z0-9])?)$",
    allowed=f"must be pvc://CLAIM/PATH, {_OBJECT_WORDS}, feedback://DEPLOYMENT or, in local mode only, file:///PATH; {_PATH_WORDS}",
    example="pvc://models/reviews.csv",
)
MOMENT = TextFormat(
    pattern="^20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9](:[0-5][0-9]){2}Z$",
    allowed="must be a moment in UTC, to the second",
    example="2026-11-30T12:00:00Z",
)
SUB_PATH = TextFormat(
    pattern=r"^(\.{0,2}[A-Za-z0-9_-][A-Za-z0-9._-]*)(/\.{0,2}[A-Za-z0-9_-][A-Za-z0-9._-]*)*$",
    allowed="must be a path inside the claim, of letters, digits, ., _ and -: not beginning or ending with /, no . or .. as a part",
    example="team-a/reviews",
)
SERVED_REVISION = TextFormat(
    pattern=r"^[0-9a-f]{8}$",
    allowed="must be the revision of a ModelDeployment: 8 digits and letters a to f",
    example="7d1f0b2c",
)
REVISION = TextFormat(
    pattern=r"^[A-Za-z0-9_-]+([.+/][A-Za-z0-9_-]+)*$",
    allowed="must be a branch, tag or commit: letters, digits, _ and -, and single . + / between them",
    example="main or refs/pr/1",
)
SPLIT_NAME = TextFormat(
    pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$",
    allowed="must be the name of a split: letters, digits, _ and -, and single dots between them",
    example="train",
)
LAYER_NAME = TextFormat(
    pattern=r"^(all-linear|[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*)$",
    allowed="must be all-linear, or the name of a linear layer or the end of one: letters, digits and _, joined by single dots",
    example="query or attention.self.query",
)
PARAMETER_PATTERN = TextFormat(
    pattern=r"^[A-Za-z0-9_.\\|()\[\]*+?^\x24-]+$",  # \x24 is $, which stands for the end alone in all our patterns
    allowed="must be a regular expression for names of parameters: letters, digits, _ and -, and the signs . \\ | ( ) [ ] * + ? ^ $",
    example=r"layer\.[0-5]\.",
)
IMAGE = TextFormat(
    pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[0-9]{1,5})?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
    r"(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[0-9a-f]{64})?$",
    allowed="must be an image reference in lower case: [REGISTRY/]NAME[:TAG][@sha256:DIGEST], best with the digest",
    example="registry.example.com/trainer:1.2.0",
)
GPU_RESOURCE = TextFormat(
    pattern=rf"^{_SUBDOMAIN}/[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?$",
    allowed="must be an extended resource: DOMAIN/NAME",
    example="nvidia.com/gpu",
)
KEY = TextFormat(
    pattern=rf"^({_SUBDOMAIN}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?$",
    allowed="must be [DOMAIN/]NAME: NAME has at most 63 letters, digits, - _ and ., beginning and ending with a letter or digit",
    example="nvidia.com/gpu.present",
)
"""The key of a label, an annotation or a taint."""
LABEL_VALUE = TextFormat(
    pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$",
    allowed="must be empty, or letters, digits, - _ and ., beginning and ending with a letter or digit",
    example="team-a",
)
VARIABLE_NAME = TextFormat(
    pattern="^[A-Za-z_][A-Za-z0-9_.-]*$",
    allowed="must be letters, digits, _, - and ., not beginning with a digit, - or .",
    example="HTTPS_PROXY",
)
VARIABLE_VALUE = TextFormat(
    pattern=r"^[^\x00]*$",
    allowed="must be text without the character NUL",
    example="http://proxy.example.com:3128",
)
OBJECT_KEY = TextFormat(
    pattern=r"^\.?[A-Za-z0-9_-][A-Za-z0-9_.-]*$",
    allowed="must be the key of a Secret or ConfigMap: letters, digits, -, _ and ., not . alone and not beginning with ..",
    example="api-key",
)
VOLUME_NAME = TextFormat(
    pattern=f"^{_LABEL}$",
    allowed="must be a-z, 0-9 and -, beginning and ending with a letter or digit",
    example="trackers",
)
GATE_NAME = TextFormat(
    pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$",
    allowed="must be a-z, 0-9 and -, beginning with a letter, ending with a letter or digit",
    example="errors",
)
FEATURE_NAME = TextFormat(
    pattern="^[a-z0-9_]([-a-z0-9_.]*[a-z0-9_])?$",
    allowed="must be a-z, 0-9, _, - and ., beginning and ending with none of the last two",
    example="confidence",
)
CRON = TextFormat(
    pattern="^[0-9A-Za-z*/,#-]+( [0-9A-Za-z*/,#-]+){4}$",
    allowed="must be five fields with a space between them: minute, hour, day of the month, month, day of the week",
    example="30 2 * * 6",
)
TIME_ZONE = TextFormat(
    pattern="^[A-Za-z][A-Za-z0-9]*([/_+-][A-Za-z0-9]+)*$",
    allowed="must be the name of a time zone in the IANA database",
    example="Europe/Berlin",
)
MOUNT_PATH = TextFormat(
    pattern=r"^(/\.{0,2}[A-Za-z0-9_-][A-Za-z0-9._-]*)+$",
    allowed="must be an absolute path of letters, digits, ., _ and -: no empty part, no . or .. as a part, no / at its end",
    example="/etc/trackers",
)
URL_PATH = TextFormat(
    pattern=r"^(/[A-Za-z0-9._~-]+)+$",
    allowed="must be the path of a URL: parts of letters, digits, ., _, ~ and -, each behind a /; no query and no / at its end",
    example="/health",
)
INTERFACE = TextFormat(
    pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$",
    allowed="must be the name of a network interface: letters, digits, ., _ and -, beginning with a letter or digit",
    example="net1",
)
HEADER = TextFormat(
    pattern="^[a-z0-9]([-a-z0-9]{0,62}[a-z0-9])?$",
    allowed="must be the name of a header in lower case, of 1 to 64 letters, digits and dashes",
    example="x-user",
)
DIGEST = TextFormat(
    pattern="^sha256:[0-9a-f]{64}$",
    allowed="must be sha256: and 64 hexadecimal digits in lower case",
    example="sha256:" + 16 * "9f2c",
)
LINE = TextFormat(
    pattern=f"^[^{_CONTROL}]+$",
    allowed="must be one line of text without control characters, and not empty",
    example="review_text",
)

TEXT_FORMATS = {
    text_format.pattern: text_format
    for text_format in (NAME, CPU, MEMORY, DURATION, MODEL_URI, BASE_MODEL_URI, FILES_URI, DATA_URI, BUCKET_URI, MOMENT, SUB_PATH, REVISION, SPLIT_NAME, LAYER_NAME, PARAMETER_PATTERN, IMAGE, GPU_RESOURCE, KEY, LABEL_VALUE,
                        VARIABLE_NAME, VARIABLE_VALUE, OBJECT_KEY, VOLUME_NAME, GATE_NAME, MOUNT_PATH, URL_PATH, INTERFACE, HEADER, SERVED_REVISION, DIGEST, LINE,
                        FEATURE_NAME, CRON, TIME_ZONE)
}  # fmt: skip
"""By pattern: a validation error and a JSON Schema hold the pattern alone."""
