"""Which way goes to the broker: through the proxy that is named, or none."""

from __future__ import annotations

import re

import pytest
from pydantic import SecretStr

from tests.support.each_case import each_case
from VenAgent.cloud.tls.http_proxy import PROXY_NOT_READ, HttpProxy
from VenAgent.config.cloud_config import CloudBrokerConfig, CloudTlsConfig

ENVIRONMENT = {"https_proxy": "http://proxy.example:8080"}
FROM_ENVIRONMENT = HttpProxy("proxy.example", 8080)


@each_case(
    ("broker", "environment", "expected"),
    [
        ({"host": "b.example", "tls": CloudTlsConfig()}, ENVIRONMENT, FROM_ENVIRONMENT),
        ({"host": "b.example", "tls": CloudTlsConfig()}, {}, None),
        (
            {"host": "b.example", "tls": CloudTlsConfig()},
            {"HTTPS_PROXY": "http://proxy.example:8080"},
            FROM_ENVIRONMENT,
        ),
        ({"host": "b.example"}, ENVIRONMENT, None),  # plain MQTT is for this building
        ({"host": "127.0.0.1", "tls": CloudTlsConfig()}, ENVIRONMENT, None),
        ({"host": "localhost", "tls": CloudTlsConfig()}, ENVIRONMENT, None),
        (
            {"host": "b.example", "tls": CloudTlsConfig()},
            {**ENVIRONMENT, "no_proxy": "x.test,.example"},
            None,
        ),
        ({"host": "b.example", "tls": CloudTlsConfig(), "proxy": "none"}, ENVIRONMENT, None),
        (
            {"host": "b.example", "tls": CloudTlsConfig()},
            {**ENVIRONMENT, "NO_PROXY": "*.example"},
            None,
        ),
        (
            {"host": "10.1.2.3", "tls": CloudTlsConfig()},
            {**ENVIRONMENT, "no_proxy": "192.168.0.0/16, 10.0.0.0/8"},
            None,
        ),
        (
            {"host": "11.1.2.3", "tls": CloudTlsConfig()},
            {**ENVIRONMENT, "no_proxy": "10.0.0.0/8, 11.0.0.0/"},
            FROM_ENVIRONMENT,
        ),
        (  # switched off, though another program set the other one
            {"host": "b.example", "tls": CloudTlsConfig()},
            {"https_proxy": "", "HTTPS_PROXY": "http://proxy.example:8080"},
            None,
        ),
        ({"host": "127.0.0.1", "proxy": "http://p"}, ENVIRONMENT, HttpProxy("p", 3128)),
    ],
)
def test_the_way_to_the_broker(
    broker: dict[str, object], environment: dict[str, str], expected: HttpProxy | None
) -> None:
    assert HttpProxy.for_broker(CloudBrokerConfig(**broker), environment) == expected


def test_a_proxys_password_is_shown_nowhere() -> None:
    url = "http://me:Un%3Aseen@proxy.example:8080"
    broker = CloudBrokerConfig(host="b.example", proxy=SecretStr(url))
    assert "seen" not in broker.model_dump_json() + repr(broker)
    proxy = HttpProxy.for_broker(broker, {})
    assert proxy is not None
    assert proxy.authorization == "Basic bWU6VW46c2Vlbg=="
    assert "bWU6" not in repr(proxy)


@each_case("url", ["https://p:1", "p:3128/path", "http://", "socks5://p:1", "ftp://x"])
def test_what_is_no_proxy_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"must be like http://proxy"):
        CloudBrokerConfig(host="b.example", proxy=SecretStr(url))


@each_case(
    "url",
    [
        "http://me:s3cr/et@p:3128",
        "http://me:s3cr#et@p:3128",
        "http://me:s3cr?et@p:3128",
        "http://me:65/s3cr@p",  # `me` at port 65
        "http://me:s3cr@p:99999",
        "http://me:s3cr@p:port",
        "http://me:s3cr@p:0",
        "http://me:s3cr@[fe80::1",
        "https://me:s3cr@p:3128",
        "socks5://me:s3cr@p:1080",
        "http://me:s3cr@",
        " ",
    ],
)
def test_of_an_address_that_cannot_be_read_no_part_is_told(url: str) -> None:
    with pytest.raises(ValueError, match="cannot be read") as caught:
        HttpProxy.from_url(url)
    assert str(caught.value) == PROXY_NOT_READ
    assert not {"s3cr", "65", "99999"} & set(re.split(r"\W", str(caught.value)))


def test_an_address_in_short_and_one_with_a_slash_are_read() -> None:
    for url in ("proxy.example", "http://proxy.example/", "HTTP://proxy.example:3128"):
        assert HttpProxy.from_url(url) == HttpProxy("proxy.example", 3128)
    assert HttpProxy.from_url("http://[fd00::1]:8080") == HttpProxy("fd00::1", 8080)
