"""The comparison with the baselines that the demos print, for any task."""

from __future__ import annotations

from demo import print_baseline_comparison


def score(name: str, value: float) -> dict:
    return {"name": name, "value": value, "low": value - 0.02, "high": value + 0.02}


def test_a_text_classification_is_compared_by_accuracy(capsys) -> None:
    metrics = [score("accuracy", 0.8612), score("macro_f1", 0.86), score("accuracy_gain_over_tfidf_linear", 0.1)]
    baselines = [score("majority", 0.5093), score("tfidf-linear", 0.7612), score("before-training", 0.49)]
    print_baseline_comparison({"status": {"evaluation": {"metrics": metrics, "baselines": baselines}}})
    assert capsys.readouterr().out == EXPECTED


def test_a_token_classification_is_compared_by_f1(capsys) -> None:
    metrics = [score("f1", 0.8), score("accuracy", 0.97)]
    baselines = [score("most-frequent-tag", 0.5)]
    print_baseline_comparison({"status": {"evaluation": {"metrics": metrics, "baselines": baselines}}})
    assert capsys.readouterr().out.splitlines()[1:] == [
        "f1 on the test sentences, with 95 % intervals",
        f"  most-frequent-tag 0.5000  [0.4800, 0.5200]  {'█' * 20}",
        f"  after             0.8000  [0.7800, 0.8200]  {'█' * 32}",
    ]


EXPECTED = """
accuracy on the test sentences, with 95 % intervals
  majority        0.5093  [0.4893, 0.5293]  ████████████████████
  tfidf-linear    0.7612  [0.7412, 0.7812]  ██████████████████████████████
  before-training 0.4900  [0.4700, 0.5100]  ████████████████████
  after           0.8612  [0.8412, 0.8812]  ██████████████████████████████████
  gain over tfidf-linear on the same rows: +0.1000  [+0.0800, +0.1200]
"""
