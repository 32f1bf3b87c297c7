//! What a script finds in its environment, to see whether another script left something there.

use crate::doors::Scripts;
use crate::support::{Client, Server};

/// Walks everything a script can reach and names it with its type; also tries what earlier scripts
/// could have bent: the collector, metatables, the arguments of a run, the replication and protocol
/// settings of a run.
const WALK: &str = r"
    local seen, lines = {}, {}
    local function walk(path, value)
      local kind = type(value)
      lines[#lines + 1] = path .. ':' .. kind
      if kind ~= 'table' or seen[value] then return end
      seen[value] = true
      for name, member in next, value do
        walk(path .. '.' .. tostring(name), member)
      end
      local meta = getmetatable(value)
      if meta ~= nil then walk(path .. '<meta>', meta) end
    end
    walk('_G', _G)
    for _, basic in ipairs({'', 0, true, walk, coroutine.create(walk)}) do
      local meta = getmetatable(basic)
      lines[#lines + 1] = 'meta of ' .. type(basic) .. ':' .. type(meta)
      if meta ~= nil then walk('meta', meta) end
    end
    table.sort(lines)
    lines[#lines + 1] = #KEYS .. ' keys, ' .. #ARGV .. ' arguments'
    lines[#lines + 1] = ('x'):rep(3) .. tostring(pcall(rawset, _G, 'x', 1))
    lines[#lines + 1] = tostring(pcall(setmetatable, _G, {}))
    lines[#lines + 1] = tostring(pcall(rawset, getmetatable('').__index, 'x', 1))
    lines[#lines + 1] = type(redis.call('HGETALL', 'canary')) .. #redis.call('HGETALL', 'canary')
    lines[#lines + 1] = tostring(coroutine.running())
    lines[#lines + 1] = tostring(select(2, pcall(error, 'plain', 0)))
    lines[#lines + 1] = tostring(('%5.1f'):format(3.14159)) .. tostring(1e15) .. tostring(0 / 0)
    return table.concat(lines, '\n')
";

/// Describes the environment of a script of this connection.
///
/// # Panics
/// When the walk itself fails.
pub fn describe(client: &mut Client) -> String {
    let value = client.value(&["LUA.EVAL", WALK, "0"]);
    let text = value.text().unwrap_or_default();
    assert!(text.contains("_G.redis.call:function"), "{value}");
    text
}

#[test]
fn the_description_shows_every_corner() {
    let server = Server::new().start();
    let text = describe(&mut server.client());
    let expected = [
        "_G.KEYS:table",
        "_G.ARGV:table",
        "_G._G:table",
        "_G.string.rep:function",
        "_G<meta>.__index:function",
        "meta.__index:table",
        "meta of string:table",
        "meta of number:nil",
        "0 keys, 0 arguments",
        "xxxfalse",
        "table0",
    ];
    for line in expected {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
}

#[test]
fn nothing_dangerous_is_in_reach() {
    let server = Server::new().start();
    let text = describe(&mut server.client());
    let absent = [
        "io", "debug", "package", "print", "dofile", "loadfile", "module", "require", "newproxy",
        "getfenv", "setfenv",
    ];
    for name in absent {
        assert!(!text.contains(&format!("\n_G.{name}:")), "{name} is a global");
    }
    // Addresses that nothing follows: what JSON's null and an empty array are.
    let mut userdata: Vec<&str> = text.lines().filter(|line| line.ends_with(":userdata")).collect();
    userdata.sort_unstable();
    assert_eq!(userdata, ["_G.cjson.null:userdata", "_G.cjson<meta>.__index.empty_array:userdata"]);
    let mut client = server.client();
    for name in absent {
        let reply = client.lua(&format!("return {name}"));
        assert!(reply.contains("nonexistent global variable"), "{name}: {reply}");
    }
}
