//! `redis.REDIS_VERSION`, `REDIS_VERSION_NUM`, and Valkey's names for the server.

use super::spec::{ApiContexts, ApiSpec, LUA_API, Member};
use crate::dialect::Flavour;
use crate::register::register;

register!(LUA_API: REDIS_VERSION: ApiSpec = ApiSpec {
    table: "redis",
    name: "REDIS_VERSION",
    signature: "redis.REDIS_VERSION",
    summary: "The Redis version the server is compatible with, as text.",
    contexts: ApiContexts::all(),
    member: Member::HostText(|host| text(host.redis_version)),
});
register!(LUA_API: REDIS_VERSION_NUM: ApiSpec = ApiSpec {
    table: "redis",
    name: "REDIS_VERSION_NUM",
    signature: "redis.REDIS_VERSION_NUM",
    summary: "The Redis version the server is compatible with, one byte per part.",
    contexts: ApiContexts::all(),
    member: Member::HostNumber(|host| f64::from(host.redis_version)),
});
register!(LUA_API: SERVER_NAME: ApiSpec = ApiSpec {
    table: "server",
    name: "SERVER_NAME",
    signature: "server.SERVER_NAME",
    summary: "The name of the server, redis or valkey.",
    contexts: ApiContexts::all(),
    member: Member::HostText(|host| match host.flavour {
        Flavour::Redis => "redis".to_owned(),
        Flavour::Valkey => "valkey".to_owned(),
    }),
});
register!(LUA_API: SERVER_VERSION: ApiSpec = ApiSpec {
    table: "server",
    name: "SERVER_VERSION",
    signature: "server.SERVER_VERSION",
    summary: "The version of the server, as text.",
    contexts: ApiContexts::all(),
    member: Member::HostText(|host| text(host.version)),
});
register!(LUA_API: SERVER_VERSION_NUM: ApiSpec = ApiSpec {
    table: "server",
    name: "SERVER_VERSION_NUM",
    signature: "server.SERVER_VERSION_NUM",
    summary: "The version of the server, one byte per part.",
    contexts: ApiContexts::all(),
    member: Member::HostNumber(|host| f64::from(host.version)),
});

fn text(version: u32) -> String {
    let [_, major, minor, patch] = version.to_be_bytes();
    format!("{major}.{minor}.{patch}")
}
