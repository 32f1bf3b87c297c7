//! `redis.REDIS_VERSION`, `REDIS_VERSION_NUM`, and Valkey's names for the server.

use super::spec::{ApiContexts, ApiSpec, LUA_API, Member};
use crate::dialect::{Dialect, Flavour, Hosts};
use crate::register::register;

register!(LUA_API: REDIS_VERSION: ApiSpec = ApiSpec {
    table: "redis",
    name: "REDIS_VERSION",
    signature: "redis.REDIS_VERSION: string",
    summary: "The Redis version the server is compatible with, as text.",
    contexts: ApiContexts::ALL,
    member: Member::HostText(|host| Some(text(host.redis_version))),
});
register!(LUA_API: REDIS_VERSION_NUM: ApiSpec = ApiSpec {
    table: "redis",
    name: "REDIS_VERSION_NUM",
    signature: "redis.REDIS_VERSION_NUM: integer",
    summary: "The Redis version the server is compatible with, one byte per part.",
    contexts: ApiContexts::ALL,
    member: Member::HostNumber(|host| Some(f64::from(host.redis_version))),
});
register!(LUA_API: SERVER_NAME: ApiSpec = ApiSpec {
    table: "server",
    name: "SERVER_NAME",
    signature: "server.SERVER_NAME: string",
    summary: "The name of the server, redis or valkey.",
    contexts: ApiContexts::ALL,
    member: Member::HostText(|host| Some(match host.flavour {
        Flavour::Redis => "redis".to_owned(),
        Flavour::Valkey => "valkey".to_owned(),
    })),
});
register!(LUA_API: SERVER_VERSION: ApiSpec = ApiSpec {
    table: "server",
    name: "SERVER_VERSION",
    signature: "server.SERVER_VERSION: string?",
    summary: "The version of the server, as text; on Redis.",
    contexts: ApiContexts::ALL,
    member: Member::HostText(|host| redis_only(host).then(|| text(host.version))),
});
register!(LUA_API: SERVER_VERSION_NUM: ApiSpec = ApiSpec {
    table: "server",
    name: "SERVER_VERSION_NUM",
    signature: "server.SERVER_VERSION_NUM: integer?",
    summary: "The version of the server, one byte per part; on Redis.",
    contexts: ApiContexts::ALL,
    member: Member::HostNumber(|host| redis_only(host).then(|| f64::from(host.version))),
});
register!(LUA_API: VALKEY_VERSION: ApiSpec = ApiSpec {
    table: "server",
    name: "VALKEY_VERSION",
    signature: "server.VALKEY_VERSION: string?",
    summary: "The version of the server, as text; on Valkey.",
    contexts: ApiContexts::ALL,
    member: Member::HostText(|host| host.is(Hosts::Valkey).then(|| text(host.version))),
});
register!(LUA_API: VALKEY_VERSION_NUM: ApiSpec = ApiSpec {
    table: "server",
    name: "VALKEY_VERSION_NUM",
    signature: "server.VALKEY_VERSION_NUM: integer?",
    summary: "The version of the server, one byte per part; on Valkey.",
    contexts: ApiContexts::ALL,
    member: Member::HostNumber(|host| host.is(Hosts::Valkey).then(|| f64::from(host.version))),
});

fn redis_only(host: Dialect) -> bool {
    host.flavour == Flavour::Redis
}

fn text(version: u32) -> String {
    let [_, major, minor, patch] = version.to_be_bytes();
    format!("{major}.{minor}.{patch}")
}
