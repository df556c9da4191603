"""Addresses of Prometheus: what is one, and where a token may go."""

from __future__ import annotations

import pytest

from tuneloop_operator.prometheus.address import checked_address, may_get_token


@pytest.mark.parametrize(
    ("address", "checked"),
    [
        ("http://prometheus.monitoring.svc:9090", "http://prometheus.monitoring.svc:9090"),
        ("https://metrics.example.com/", "https://metrics.example.com"),
        ("https://thanos/select/0/prometheus/", "https://thanos/select/0/prometheus"),
        ("http://[fd00::7]:9090", "http://[fd00::7]:9090"),
    ],
)
def test_an_address_may_have_a_port_and_a_path(address, checked):
    assert checked_address(address) == checked


@pytest.mark.parametrize(
    "address",
    [
        "prometheus:9090", "ftp://prometheus", "HTTP://prometheus", "http://", "http:///x", "http://a b", "http://a\n",
        "http://user@prometheus", "http://user:secret@prometheus", "http://prometheus@evil", "http://127.0.0.1\\@evil",
        "http://prometheus?token=x", "http://prometheus/?", "http://prometheus#x", "http://prometheus:0", "http://prometheus:65536",
        "http://prometheus:", "http://-a", "http://a//b", "http://a/%2e", "http://[::1", "http://é",
    ],
)  # fmt: skip
def test_what_could_be_read_in_two_ways_is_no_address(address):
    with pytest.raises(ValueError, match="allowed is an http or https address without user"):
        checked_address(address)


@pytest.mark.parametrize(
    "address",
    ["https://prometheus", "http://127.0.0.1:9090", "http://127.9.9.9", "http://[::1]:1/x", "http://LocalHost"],
)
def test_a_token_goes_where_nobody_reads_it(address):
    assert may_get_token(address)


@pytest.mark.parametrize(
    "address",
    ["http://prometheus", "http://10.0.0.1", "http://127.0.0.1.evil", "http://localhost.evil", "http://127.1", "x", ""],
)
def test_a_token_goes_nowhere_else(address):
    assert not may_get_token(address)
