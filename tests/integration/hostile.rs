//! Scripts written to do harm: each ends with one clean reply, in time, and leaves nothing behind.

use std::time::{Duration, Instant};

use crate::doors::{Scripts, request};
use crate::environment;
use crate::support::{Client, Server, Value, render};

/// The longest a single script here may take; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(8);

/// Runs every script on one server and looks after each whether it is as before.
fn survive(scripts: &[&str]) {
    let server = Server::new().start();
    let mut client = server.client();
    client.set_timeout(Duration::from_secs(30));
    // Enough for all that is meant to work here, and soon reached by what is not.
    client.set("redlua.memory-limit", "128mb");
    client.ok(&["SET", "text", "value"]);
    let run_id = client.info("run_id");
    let fresh = environment::describe(&mut client);
    let mut faults = Vec::new();
    for script in scripts {
        let start = Instant::now();
        let argv = request("LUA.EVAL", script, &["text", "k"], &["a", "b"]);
        let frame = client
            .try_cmd(&argv)
            .unwrap_or_else(|error| panic!("{error} after: {script}\n{}", server.log()));
        if start.elapsed() > PATIENCE {
            faults.push(format!("took {:?}: {script}", start.elapsed()));
        }
        if !is_one_clean_frame(&frame) {
            let excerpt = &frame[..frame.len().min(300)];
            faults.push(format!("answered {}: {script}", excerpt.escape_ascii()));
        }
        let now = environment::describe(&mut client);
        if now != fresh {
            faults.push(format!("changed what the next script sees: {script}\n{now}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(client.info("run_id"), run_id, "the server was replaced");
}

fn is_one_clean_frame(frame: &[u8]) -> bool {
    match frame {
        [b'-' | b'+', line @ .., b'\r', b'\n'] => {
            !line.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0))
        }
        // The parser of these tests goes less deep than the server.
        _ => Value::parse(frame).is_ok() || render(frame).contains("nested more than"),
    }
}

#[test]
fn tampering_with_globals_and_metatables() {
    survive(&[
        "x = 1",
        "_G.x = 1",
        "_G = {}",
        "_G._G = nil",
        "rawset(_G, 'x', 1)",
        "setmetatable(_G, {__index = function() return 1 end})",
        "setmetatable(_G, nil)",
        "getmetatable(_G).__index = nil",
        "rawset(getmetatable(_G), '__index', nil)",
        "getmetatable(_G).__newindex = function() end",
        "setmetatable(getmetatable(_G), {})",
        "return getmetatable(_G).__index(1, {})",
        "return getmetatable(_G).__index()",
        "return getmetatable(_G).__index(nil, nil)",
        "return getmetatable(_G).__index(_G, ('x'):rep(100000))",
        "return getmetatable(_G).__index(_G, 'a\\nb\\rc\\0d')",
        "getmetatable('').__index = {}",
        "getmetatable('').__index.upper = nil",
        "rawset(getmetatable(''), '__index', function() return 1 end)",
        "setmetatable(string, {__call = function() return 1 end})",
        "string.upper = string.lower",
        "rawset(string, 'upper', string.lower)",
        "table.insert(_G, 1)",
        "table.insert(string, 1, 2)",
        "table.remove(_G)",
        "table.remove(redis, 1)",
        "table.sort(_G)",
        "table.sort(string, function() return true end)",
        "table.setn(_G, 1)",
        "table.setn({}, 1)",
        "table.foreach(_G, function(k) rawset(_G, k, nil) end)",
        "for k in pairs(_G) do _G[k] = nil end",
        "for k in pairs(redis) do redis[k] = nil end",
        "redis.call = nil",
        "redis = nil",
        "KEYS = nil",
        "KEYS = 'x'",
        "ARGV = {1, 2, 3}",
        "for i = 1, 1000 do KEYS[i] = i ARGV[i] = i end return {#KEYS, #ARGV}",
        "setmetatable(KEYS, {__index = function() error('x') end}) return KEYS[9]",
        "setmetatable(ARGV, {__newindex = function() error('x') end}) ARGV[9] = 1",
        "KEYS[1] = nil ARGV[1] = nil return {#KEYS, #ARGV}",
        "KEYS[1] = KEYS return #KEYS",
        "rawset(_G, 'KEYS', nil)",
        "__redis__err__handler = error",
        "return __redis__err__handler()",
        "return __redis__err__handler(nil)",
        "return __redis__err__handler({})",
        "return __redis__err__handler({err = {}})",
        "return __redis__err__handler(setmetatable({}, {__index = error}))",
        "return __redis__err__handler(('x'):rep(1000000))",
        "return __redis__err__handler(_G)",
        "return __redis__err__handler(string)",
        "return xpcall(error, __redis__err__handler)",
        "return xpcall(function() error({}) end, __redis__err__handler)",
        "return tostring(xpcall(function() error(string) end, __redis__err__handler))",
        "local t = setmetatable({}, {__metatable = false}) return tostring(getmetatable(t))",
        "local t = setmetatable({}, {__metatable = 1}) setmetatable(t, nil)",
        "local t = {} t[t] = t setmetatable(t, t) t.__index = t return tostring(t[t] == t)",
        "local t = {} t.__index = t setmetatable(t, t) return t.nothing",
        "local t = setmetatable({}, {__index = function(t, k) return t[k] end}) return t.x",
        "local t = {} setmetatable(t, {__newindex = t}) t.x = 1",
        "local a, b = {}, {} setmetatable(a, {__index = b}) setmetatable(b, {__index = a}) return a.x",
        "local t = setmetatable({}, {__len = error, __eq = error, __lt = error, __le = error, \
         __concat = error, __unm = error, __call = error, __tostring = error}) return t",
        "local t = setmetatable({}, {__tostring = function() return 1 end}) return tostring(t)",
        "local t = setmetatable({}, {__tostring = function() error('no') end}) return tostring(t)",
        "local t = setmetatable({}, {__gc = function() error('gc') end}) t = nil collectgarbage()",
        "local t = setmetatable({}, {__mode = 'kv'}) t[1] = {} collectgarbage() return #t",
        "local t = setmetatable({}, {__mode = {}}) t[1] = {} collectgarbage() return #t",
        "local t = setmetatable({}, {__mode = 'k'}) for i = 1, 1e4 do t[{}] = i end collectgarbage() \
         return next(t) == nil",
        "redis.setresp(3) redis.set_repl(redis.REPL_NONE)",
        "redis.setresp(3) redis.call('hset', 'canary2', 'a', 'b') redis.call('del', 'canary2')",
        "redis.call('select', 9) redis.call('set', 'x', 1) redis.call('flushdb') error('in db 9')",
        "math.randomseed(7)",
        "math.random = nil",
        "os = nil",
        "server = nil",
        "local _ENV = {} x = 1",
    ]);
}

#[test]
fn malformed_error_objects() {
    survive(&[
        "error({})",
        "error()",
        "error(nil)",
        "error(true)",
        "error(false)",
        "error(1)",
        "error(0/0)",
        "error(1e308 * 10)",
        "error('')",
        "error('\\0')",
        "error('a\\0b')",
        "error('a\\r\\nb')",
        "error('\\r\\n')",
        "error('+OK\\r\\n:1\\r\\n')",
        "error(('x'):rep(1000000))",
        "error('\\255\\254')",
        "error('text', 0)",
        "error('text', 1)",
        "error('text', 2)",
        "error('text', 3)",
        "error('text', 1000000)",
        "error('text', -1)",
        "error('text', 'x')",
        "error(print)",
        "error(error)",
        "error(function() end)",
        "error(coroutine.create(error))",
        "error(_G)",
        "error(string)",
        "error(redis)",
        "error(KEYS)",
        "error(ARGV)",
        "error(getmetatable(''))",
        "error(getmetatable(_G))",
        "error({1, 2, 3})",
        "error({err = 1})",
        "error({err = 1.5})",
        "error({err = true})",
        "error({err = false})",
        "error({err = {}})",
        "error({err = print})",
        "error({err = error})",
        "error({err = ''})",
        "error({err = ' '})",
        "error({err = '-'})",
        "error({err = 'oneword'})",
        "error({err = 'two words'})",
        "error({err = '-CODE text'})",
        "error({err = 'a\\r\\nb c'})",
        "error({err = '\\r\\n'})",
        "error({err = 'a\\0b c'})",
        "error({err = ('x'):rep(3000000)})",
        "error({err = 'x', source = {}, line = {}})",
        "error({err = 'x', source = 1, line = 'x'})",
        "error({err = 'x', source = 'a\\r\\nb', line = 'c\\r\\nd'})",
        "error({err = 'x', source = ('y'):rep(100000), line = 1e308})",
        "error({err = 'x', line = 0/0, source = 'x'})",
        "error({err = 'x', ignore_error_stats_update = {}})",
        "error({err = 'x', ignore_error_stats_update = 'yes'})",
        "error({ok = 'x'})",
        "error({ok = 1})",
        "error({double = 1})",
        "error({map = {}})",
        "error({err = {err = {err = 'x'}}})",
        "error(setmetatable({}, {__index = function() error('index') end}))",
        "error(setmetatable({}, {__index = function() return 'from index' end}))",
        "error(setmetatable({}, {__index = {err = 'from a table'}}))",
        "error(setmetatable({}, {__newindex = function() error('newindex') end}))",
        "error(setmetatable({err = 'x'}, {__newindex = function() error('newindex') end}))",
        "error(setmetatable({}, {__tostring = function() error('tostring') end}))",
        "error(setmetatable({}, {__tostring = function() return 'text' end}))",
        "error(setmetatable({}, {__tostring = error, __index = error, __newindex = error, \
         __call = error, __metatable = 'locked'}))",
        "error(setmetatable({}, {__concat = error, __len = error, __eq = error}))",
        "local t = {} t.err = t error(t)",
        "local t = {} t[t] = t error(t)",
        "local t = {} setmetatable(t, {__index = t}) error(t)",
        "local t = {} setmetatable(t, {__index = function(t, k) return t[k] end}) error(t)",
        "redis.call('nope')",
        "redis.call()",
        "redis.call({})",
        "redis.call(nil)",
        "redis.call(true)",
        "redis.call('set', {}, {})",
        "redis.call('a\\r\\nb')",
        "redis.call('a\\0b')",
        "redis.call('get\\0', 'k')",
        "redis.call('')",
        "redis.call(('x'):rep(1000000))",
        "redis.call('get|set', 'x')",
        "redis.call('config|get', 'x')",
        "redis.call('config', 'a|b', 'x')",
        "redis.call('config')",
        "redis.call('config', '')",
        "redis.call('lpush', KEYS[1], 'x')",
        "redis.call('incr', KEYS[1])",
        "redis.pcall()",
        "redis.error_reply()",
        "return redis.error_reply()",
        "return redis.error_reply({})",
        "return redis.error_reply('')",
        "return redis.error_reply('a\\r\\nb')",
        "return redis.error_reply('\\0')",
        "return redis.error_reply(('x'):rep(1000000))",
        "return redis.status_reply('a\\r\\nb')",
        "return redis.status_reply('\\0')",
        "return redis.status_reply(('x'):rep(1000000))",
        "return {err = 'a\\r\\n+OK'}",
        "return {ok = 'a\\r\\n+OK'}",
        "return {err = {}}",
        "return {ok = {}, err = {}}",
        "return {err = ''}",
        "return {ok = ''}",
        "redis.log()",
        "redis.log(1)",
        "redis.log(9, 'x')",
        "redis.log(-1, 'x')",
        "redis.log(redis.LOG_WARNING, ('x'):rep(1000000))",
        "redis.log(redis.LOG_WARNING, '%s%n%d')",
        "redis.log(redis.LOG_WARNING, {}, nil, 1)",
        "redis.log(redis.LOG_WARNING, 'a\\0b\\r\\nc')",
        "redis.sha1hex()",
        "redis.sha1hex(1, 2)",
        "return redis.sha1hex({})",
        "redis.setresp()",
        "redis.setresp({})",
        "redis.setresp(0/0)",
        "redis.setresp(1e300)",
        "redis.set_repl()",
        "redis.set_repl({})",
        "redis.set_repl(-1)",
        "redis.set_repl(4)",
        "redis.set_repl(1e300)",
        "redis.acl_check_cmd()",
        "redis.acl_check_cmd({})",
        "redis.acl_check_cmd('nope')",
        "redis.acl_check_cmd('set')",
        "redis.acl_check_cmd('eval', 'x', '5', 'a')",
        "redis.acl_check_cmd('lua.eval', 'x', '5', 'a')",
        "redis.acl_check_cmd('lua.eval')",
        "redis.acl_check_cmd('eval')",
        "redis.acl_check_cmd('zunionstore', 'x', '99999999', 'a')",
        "redis.acl_check_cmd('config')",
        "redis.acl_check_cmd('config', 'nope')",
        "redis.acl_check_cmd('migrate', 'h', 'p', '', 'd', 't', 'keys')",
        "redis.acl_check_cmd('xread', 'streams')",
        "redis.acl_check_cmd('sort', 'a', 'store')",
        "redis.breakpoint()",
        "redis.debug()",
        "redis.debug({}, nil, setmetatable({}, {__tostring = error}))",
        "redis.replicate_commands(1, 2, 3)",
    ]);
}

#[test]
fn errors_inside_protected_calls() {
    survive(&[
        "return pcall()",
        "return pcall(nil)",
        "return pcall(pcall)",
        "return pcall(pcall, pcall, pcall, error)",
        "return pcall(error)",
        "return tostring(pcall(error, {}))",
        "return tostring(select(2, pcall(error, setmetatable({}, {__index = error}))))",
        "return pcall(error, setmetatable({}, {__index = function() error('x') end}))",
        "return tostring(xpcall(error, error))",
        "return tostring(xpcall(error, nil))",
        "return xpcall()",
        "return xpcall(error)",
        "return xpcall(error, 1)",
        "return xpcall(function() error('a') end, function() error('b') end)",
        "return xpcall(function() error('a') end, function(m) return error(m) end)",
        "local function h() return xpcall(error, h) end return tostring(xpcall(error, h))",
        "return tostring(xpcall(function() local function f() return 1 + f() end f() end, \
         function() local function g() return 1 + g() end return g() end))",
        "local function f(n) if n == 0 then error('deep') end return pcall(f, n - 1) end return f(150)",
        "local function f(n) return pcall(f, n + 1) end return tostring(f(1))",
        "local function f(n) return xpcall(function() return f(n + 1) end, function() return f(n) end) end \
         return tostring(pcall(f, 1))",
        "local function f() return pcall(f) end return tostring(f())",
        "local function f() pcall(f) end f()",
        "local function f() return f() + 1 end f()",
        "local function f() local a, b, c, d, e, g = f() return a end f()",
        "local t = setmetatable({}, {}) getmetatable(t).__index = function(_, k) return t[k] end \
         return t.x",
        "local t = setmetatable({}, {}) getmetatable(t).__call = function(s) return s() + 1 end t()",
        "local m = {} m.__add = function(a, b) return a + b end local t = setmetatable({}, m) return t + t",
        "local m = {} m.__concat = function(a, b) return a .. b end local t = setmetatable({}, m) \
         return t .. t",
        "local m = {} m.__eq = function(a, b) return a == b end \
         return setmetatable({}, m) == setmetatable({}, m)",
        "local m = {} m.__lt = function(a, b) return a < b end \
         return setmetatable({}, m) < setmetatable({}, m)",
        "local m = {} m.__tostring = function(t) return tostring(t) end \
         return tostring(setmetatable({}, m))",
        "return string.gsub('x', 'x', function() error('in gsub') end)",
        "return string.gsub('x', 'x', function() error({}) end)",
        "return string.gsub('xxx', 'x', {x = {}})",
        "return string.gsub('xxx', 'x', setmetatable({}, {__index = error}))",
        "return string.gsub('xxx', 'x', function() return {} end)",
        "return string.gsub('xxx', 'x', '%9')",
        "return string.gsub('xxx', 'x', '%')",
        "local function f(s) return (s:gsub('.', f)) end return f('x')",
        "local n = 0 local function f(s) n = n + 1 return (s:gsub('.', f)) end pcall(f, 'x') return n",
        "for w in string.gmatch('a b', '%a') do error(w) end",
        "local t = {3, 1, 2} table.sort(t, function() error('in sort') end)",
        "local t = {} for i = 1, 100 do t[i] = i end table.sort(t, function() return true end)",
        "local t = {} for i = 1, 100 do t[i] = i end table.sort(t, function() return false end) return 1",
        "local t = {} for i = 1, 1000 do t[i] = i end table.sort(t, function(a, b) t[a] = nil \
         return a > b end)",
        "local t = {} for i = 1, 100 do t[i] = i % 7 end table.sort(t, function(a, b) return a <= b end)",
        "local t = {1, 'a', {}} table.sort(t)",
        "local t = {} for i = 1, 100 do t[i] = 0/0 end table.sort(t) return 1",
        "table.sort({1, 2, 3}, 1)",
        "table.sort({3, 2, 1}, setmetatable({}, {__call = function() return true end}))",
        "table.foreach({1, 2}, error)",
        "table.foreachi({1, 2}, function() error({}) end)",
        "load(function() error('reader') end)",
        "return load(function() error({}) end)",
        "return tostring(load(function() return {} end))",
        "return tostring(load(error))",
        "return load(load)",
        "local n = 0 return tostring(load(function() n = n + 1 if n < 1000 then return 'x' end end))",
        "local n = 0 local f = load(function() n = n + 1 return n == 1 and 'return 1' or nil end) return f()",
        "local n = 0 return tostring(load(function() n = n + 1 collectgarbage() \
         return n < 50 and ' ' or nil end))",
        "local f = load(function() return coroutine.yield() end)",
        "return loadstring('return 1')()",
        "return loadstring('x = 1')()",
        "return loadstring('\\27Lua')",
        "return loadstring(string.dump(function() return 1 end))",
        "return tostring(pcall(loadstring(string.dump(function() return 1 end)) or error))",
        "return string.dump(function() end)",
        "return string.dump(print or error)",
        "return string.dump(redis.call)",
        "return loadstring('return ' .. ('('):rep(1000) .. '1' .. (')'):rep(1000))",
        "return tostring(loadstring(('do '):rep(1000) .. ('end '):rep(1000)))",
        "return tostring(loadstring('return ' .. ('{'):rep(500) .. ('}'):rep(500)))",
        "return tostring(loadstring('local a = ' .. ('-'):rep(100001) .. '1'))",
        "return tostring(loadstring('return ' .. ('not '):rep(100000) .. '1'))",
        "return tostring(loadstring('return 1' .. ('^1'):rep(1000)))",
        "return tostring(loadstring('return a' .. ('.a'):rep(100000)))",
        "return tostring(loadstring('return f' .. ('()'):rep(100000)))",
        "return tostring(loadstring(('local a '):rep(1000)))",
        "return tostring(loadstring('return ' .. ('1,'):rep(100000) .. '1'))",
        "return tostring(loadstring('return {' .. ('1,'):rep(100000) .. '1}'))",
        "return tostring(loadstring('return ' .. ('[==['):rep(1000)))",
        "return tostring(loadstring('--[' .. ('='):rep(1000000)))",
        "return tostring(loadstring('return \"' .. ('\\\\x'):rep(1000)))",
        "return tostring(loadstring(('x'):rep(1000000) .. ' = 1'))",
        "return tostring(loadstring('return ' .. ('9'):rep(1000000)))",
        "return tostring(loadstring('return 0x' .. ('f'):rep(1000000)))",
        "return tostring(loadstring('', ('x'):rep(1000000)))",
        "return tostring(select(2, loadstring('(', '=\\0\\r\\n')))",
        "return tostring(select(2, loadstring('(', '@' .. ('x'):rep(10000))))",
        "return tostring(loadstring('\\0'))",
        "return tostring(loadstring('return \\0 1'))",
        "return tostring(loadstring('#!lua\\nreturn 1'))",
        "return tostring(loadstring())",
        "return tostring(loadstring({}))",
        "assert(false)",
        "assert(nil, {})",
        "assert(false, setmetatable({}, {__tostring = error}))",
        "assert()",
        "return assert(1, 2, 3)",
    ]);
}

#[test]
fn coroutines_to_no_good() {
    survive(&[
        "coroutine.yield()",
        "coroutine.yield(1, 2, 3)",
        "return coroutine.resume(coroutine.running())",
        "return coroutine.running()",
        "coroutine.create()",
        "coroutine.create(1)",
        "coroutine.create(redis.call)",
        "coroutine.wrap(1)",
        "coroutine.resume()",
        "coroutine.resume(1)",
        "coroutine.status()",
        "return coroutine.wrap(redis.call)('ping')",
        "return coroutine.wrap(redis.pcall)('nope')",
        "return coroutine.wrap(redis.call)('nope')",
        "return coroutine.wrap(error)({})",
        "return coroutine.wrap(error)()",
        "return coroutine.wrap(error)('x')",
        "return coroutine.wrap(coroutine.yield)(1)",
        "return coroutine.wrap(function() error({err = 'x y'}) end)()",
        "return coroutine.wrap(function() return redis.call('set', KEYS[2], 1) end)()",
        "local f = coroutine.wrap(function() redis.call('select', 5) coroutine.yield() end) f() f() f()",
        "local co co = coroutine.create(function() return coroutine.resume(co) end) \
         return tostring(select(2, coroutine.resume(co)))",
        "local co co = coroutine.wrap(function() return co() end) return co()",
        "local a, b a = coroutine.wrap(function() return b() end) b = coroutine.wrap(function() \
         return a() end) return a()",
        "local function f() return coroutine.wrap(f)() end return f()",
        "local function f() return pcall(coroutine.wrap(f)) end return tostring(f())",
        "local function f(n) return coroutine.wrap(function() return f(n + 1) end)() end \
         return tostring(pcall(f, 1))",
        "local t = {} for i = 1, 20000 do t[i] = coroutine.create(function() coroutine.yield() end) \
         coroutine.resume(t[i]) end return #t",
        "for i = 1, 20000 do coroutine.wrap(function() coroutine.yield() end)() end",
        "local co = coroutine.create(function() error('x') end) coroutine.resume(co) \
         return tostring(coroutine.resume(co))",
        "local co = coroutine.create(function() local function f() return f() + 1 end return f() end) \
         return tostring(coroutine.resume(co))",
        "local co = coroutine.create(function() return unpack({}, 1, 7000) end) \
         return select('#', coroutine.resume(co))",
        "local co = coroutine.create(function(...) return select('#', ...) end) \
         return coroutine.resume(co, unpack({}, 1, 7000))",
        "local co = coroutine.wrap(function() pcall(coroutine.yield, 1) end) return co()",
        "local co = coroutine.wrap(function() string.gsub('x', 'x', coroutine.yield) end) return co()",
        "local co = coroutine.wrap(function() table.sort({3, 2, 1}, coroutine.yield) end) return co()",
        "local co = coroutine.wrap(function() for _ in coroutine.yield do end end) return co()",
        "local co = coroutine.wrap(function() local t = setmetatable({}, {__index = coroutine.yield}) \
         return t.x end) return tostring(co())",
        "local co = coroutine.wrap(function() load(coroutine.yield) end) return co()",
        "local co = coroutine.wrap(function() xpcall(error, coroutine.yield) end) return co()",
        "return coroutine.wrap(function() return collectgarbage() end)()",
        "local co = coroutine.wrap(function() return coroutine.wrap(function() coroutine.yield(1) end)() end) \
         return co()",
        "KEYS[1] = coroutine.create(function() return redis.call('get', 'text') end) return 1",
        "return coroutine.create(error)",
        "return {coroutine.create(error), 1}",
        "local co = coroutine.create(function() coroutine.yield(setmetatable({}, {__gc = error})) end) \
         coroutine.resume(co) co = nil collectgarbage()",
    ]);
}

#[test]
fn arguments_out_of_every_range() {
    survive(&[
        "return unpack({}, 1, 1e8)",
        "return unpack({}, 1, 8000)",
        "return unpack({}, 1, 2^31)",
        "return unpack({}, -2^31, 2^31 - 1)",
        "return unpack({}, 2^31 - 1, 2^31)",
        "return unpack({}, 0, 2^31 - 1)",
        "return unpack({}, -1e308, 1e308)",
        "return unpack({}, 0/0, 0/0)",
        "return unpack({}, 2147483647, 2147483647)",
        "return unpack({}, -2147483648, -2147483648)",
        "return unpack()",
        "return unpack(1)",
        "return unpack(_G)",
        "return select('#')",
        "return select('#', nil, nil)",
        "return select(0)",
        "return select(-1)",
        "return select(-1, 1)",
        "return select(-2^31, 1)",
        "return select(2^31, 1)",
        "return select(1e308, 1)",
        "return select(0/0, 1)",
        "return select({}, 1)",
        "return select('#', unpack({}, 1, 7900))",
        "return ('x'):rep(-1)",
        "return ('x'):rep(0)",
        "return ('x'):rep(0/0)",
        "return ('x'):rep(2^31)",
        "return ('x'):rep(2^31 - 1)",
        "return ('x'):rep(2^63)",
        "return ('x'):rep(1e308)",
        "return ('xy'):rep(2^30)",
        "return #('x'):rep(1e8)",
        "return ('x'):byte(-1e9, 1e9)",
        "return ('x'):rep(1e6):byte(1, -1)",
        "return ('x'):byte(1, 2^31)",
        "return ('x'):byte(-2^63, 2^63)",
        "return ('x'):sub(2^63)",
        "return ('x'):sub(-2^63, 2^63)",
        "return ('x'):sub(0/0, 0/0)",
        "return ('x'):find('x', 2^62)",
        "return ('x'):find('x', -2^62)",
        "return ('x'):find('', 10)",
        "return string.char(256)",
        "return string.char(-1)",
        "return string.char(1e308)",
        "return string.char(0/0)",
        "return #string.char(unpack(setmetatable({}, {__index = function() return 65 end}), 1, 5000))",
        "return string.format()",
        "return string.format('%d')",
        "return string.format('%d', 'x')",
        "return string.format('%d', 2^63)",
        "return string.format('%d', -2^63)",
        "return string.format('%d', 0/0)",
        "return string.format('%d', 1e308)",
        "return string.format('%x', -1)",
        "return string.format('%c', 0)",
        "return string.format('%c', 1e10)",
        "return string.format('%s', {})",
        "return string.format('%s', nil)",
        "return string.format('%q', '\\0\\r\\n\"\\\\')",
        "return string.format('%q', {})",
        "return string.format('%99999d', 1)",
        "return string.format('%99d', 1)",
        "return string.format('%.99f', 1e308)",
        "return string.format('%99.99f', -1e308)",
        "return string.format('%100f', 1)",
        "return string.format('%.100f', 1)",
        "return string.format('%-+ #0d', 1)",
        "return string.format('%-+ #00000000d', 1)",
        "return #string.format('%.99s', ('x'):rep(1000))",
        "return #string.format('%99s', ('x'):rep(100000))",
        "return #string.format('%s', ('x'):rep(1e7))",
        "return string.format('%.3s', 'a\\0b')",
        "return string.format('%n', 1)",
        "return string.format('%p', {})",
        "return string.format('%a', 1)",
        "return string.format('%', 1)",
        "return string.format('%%')",
        "return string.format('%1$s', 1)",
        "return string.format('%*d', 5, 1)",
        "return string.format('%ll', 1)",
        "return string.format(('%s'):rep(200), unpack({}, 1, 200))",
        "return string.format(('%d'):rep(1000), unpack(setmetatable({}, {__index = function() return 1 end}), \
         1, 1000))",
        "return table.concat({}, '', 1, 2^31)",
        "return table.concat({}, '', 1, 1e308)",
        "return table.concat({}, '', -2^31, 0)",
        "return table.concat({1, {}, 2})",
        "return table.concat({1, 2}, {})",
        "return #table.concat({1, 2, 3}, ('x'):rep(1e7))",
        "return table.concat({}, 'x', 2147483647, 2147483647)",
        "return table.concat({[2147483647] = 'x'}, 'x', 2147483647, 2147483647)",
        "table.insert({}, 1, 2, 3)",
        "table.insert({})",
        "table.insert({}, 0/0, 1)",
        "table.insert(nil, 1)",
        "return table.remove({}, 2^31)",
        "return table.remove({1, 2}, -5)",
        "return table.maxn({[1e308] = 1})",
        "return table.maxn({[0/0] = 1})",
        "local t = {} t[0/0] = 1",
        "local t = {} t[nil] = 1",
        "return next({}, 1)",
        "return next({}, {})",
        "return next({1}, 0/0)",
        "for k in next, {1, 2, 3}, 9 do end",
        "local t = {1, 2, 3} for k in pairs(t) do t[k + 3] = k if k > 1e4 then break end end",
        "local t = {} for i = 1, 100 do t[i] = i end for k in pairs(t) do t[k] = nil collectgarbage() end",
        "return rawget()",
        "return rawget(1, 2)",
        "rawset({}, nil, 1)",
        "rawset({}, 0/0, 1)",
        "return rawequal(1)",
        "return tonumber('1', 99)",
        "return tonumber('1', 1)",
        "return tonumber('zz', 36)",
        "return tonumber(('9'):rep(100000))",
        "return tonumber('0x' .. ('f'):rep(100000))",
        "return tonumber({})",
        "return tonumber()",
        "return tonumber('1\\0')",
        "return tonumber('1e999999999')",
        "return tonumber(('f'):rep(1000), 16)",
        "return tostring()",
        "return setmetatable({})",
        "return setmetatable({}, 1)",
        "return setmetatable(1, {})",
        "return getmetatable()",
        "return ipairs()",
        "return pairs()",
        "return pairs(1)",
        "for i = 1, 0/0 do end",
        "for i = 0/0, 1 do end",
        "for i = 1, 10, 0/0 do end",
        "for i = 1, 'x' do end",
        "for i = 1, 1e6, 1e300 do end",
        "return math.random(0)",
        "return math.random(2^53)",
        "return math.random(1, 2^31)",
        "return math.random(-2^31, 2^31)",
        "return math.random(5, 1)",
        "return math.random(0/0)",
        "return math.random({})",
        "return math.random(1, 2, 3)",
        "math.randomseed()",
        "math.randomseed({})",
        "math.randomseed(1e308)",
        "math.randomseed(0/0)",
        "return math.floor(0/0)",
        "return math.fmod(1, 0)",
        "return math.ldexp(1, 2^31)",
        "return math.ldexp(1, 1e308)",
        "return math.frexp(0/0)",
        "return math.max()",
        "return math.min({}, 1)",
        "return 2^53 == 2^53 + 1",
        "return -2^63",
        "return 2^63",
        "return 0/0",
        "return 1/0",
        "return -1/0",
        "return 1e308 * 1e308",
        "return {0/0, 1/0, -1/0, 2^64, -2^64}",
        "collectgarbage('stop')",
        "collectgarbage('stop') for i = 1, 1000 do local t = {} end",
        "collectgarbage('setpause', 0)",
        "collectgarbage('setpause', 2^31)",
        "collectgarbage('setpause', -1)",
        "collectgarbage('setpause', 1e308) for i = 1, 1e5 do local t = {} end",
        "collectgarbage('setstepmul', 0) for i = 1, 1e5 do local t = {} end",
        "collectgarbage('setstepmul', 2^31 - 1) for i = 1, 1e5 do local t = {} end",
        "collectgarbage('setstepmul', -1) for i = 1, 1e5 do local t = {} end",
        "return collectgarbage('step', 2^31 - 1)",
        "return collectgarbage('step', -1)",
        "return collectgarbage('step', 1e308)",
        "collectgarbage('nope')",
        "collectgarbage({})",
        "return collectgarbage('count') > 0",
        "return gcinfo() > 0",
        "return gcinfo({}, 1)",
    ]);
}

#[test]
fn patterns_that_backtrack_and_nest() {
    survive(&[
        "return ('a'):rep(2000):find(('a?'):rep(10) .. ('a'):rep(10) .. 'b')",
        "return ('a'):rep(80):find('.-.-.-b')",
        "return ('a'):rep(80):find('.*.*.*b')",
        "return ('a'):rep(5000):find('.-b')",
        "return ('a'):rep(300000):match('(.-)$') ~= nil",
        "return ('('):rep(1000):find('%b()')",
        "return ('x'):rep(100000):gsub('', '-') ~= nil",
        "return ('x'):find(('('):rep(33) .. (')'):rep(33))",
        "return ('x'):find(('('):rep(32) .. (')'):rep(32))",
        "return ('x'):find(('()'):rep(1000))",
        "return ('x'):find('%')",
        "return ('x'):find('[')",
        "return ('x'):find('[%')",
        "return ('x'):find('[a-')",
        "return ('x'):find('[]')",
        "return ('x'):find('[^]')",
        "return ('x'):find('%b')",
        "return ('x'):find('%bx')",
        "return ('x'):find('%f')",
        "return ('x'):find('%f[')",
        "return ('x'):find('%1')",
        "return ('x'):find('(%1)')",
        "return ('x'):find('%9')",
        "return ('x'):find('(x)%1')",
        "return ('x'):find(')')",
        "return ('x'):find('(')",
        "return ('x'):find('((((')",
        "return ('\\0'):find('%z')",
        "return ('\\0'):find('\\0')",
        "return ('x'):find(('x'):rep(1e6))",
        "return ('a'):rep(250000):match(('a'):rep(250000)) ~= nil",
        "return ('a'):rep(300000):find(('.-'):rep(3) .. 'b', 299990)",
        "return ('x'):rep(200000):match(('x?'):rep(200000)) ~= nil",
        "return #('x'):rep(50000):match('^' .. ('x-'):rep(20) .. '$')",
        "return ('x'):rep(200000):find(('(x)'):rep(31)) ~= nil",
        "return ('x'):gsub('x', ('%0'):rep(100000)) ~= nil",
        "return ('x'):rep(1000):gsub('x', ('y'):rep(1000)) ~= nil",
        "for _ in ('x'):rep(100000):gmatch('') do end",
        "return string.find('x', '[' .. ('a-'):rep(100000) .. ']') == nil",
        "return string.find(('x'):rep(100), '[' .. ('%a'):rep(100000) .. ']') ~= nil",
        "return string.find('x', '%' .. ('('):rep(10))",
        "return ('a'):rep(100):find('(' .. ('a*'):rep(3) .. ')b')",
        "return string.gfind('a', 'b')",
        "return string.gmatch('x')",
        "return string.match()",
    ]);
}

#[test]
fn replies_that_no_client_expects() {
    survive(&[
        "local t = {} t[1] = t return t",
        "local t = {} t.map = t return t",
        "local t = {} t.set = t return t",
        "local a, b = {}, {} a[1] = b b[1] = a return a",
        "local t = {} for i = 1, 10000 do t = {t} end return t",
        "local t = {} for i = 1, 200 do t = {t} end return t",
        "local t = {} for i = 1, 5000 do t = {map = {x = t}} end return t",
        "local t = {} for i = 1, 50 do t = {set = {[t] = true}} end return t",
        "local t = {} for i = 1, 20 do t = {t, t} end return #t",
        "local t = {1} for i = 1, 14 do t = {t, t} end return t",
        "return _G",
        "return string",
        "return redis",
        "return {_G, string}",
        "return {map = _G}",
        "return {map = string}",
        "return {set = _G}",
        "return getmetatable('')",
        "return KEYS",
        "return function() end",
        "return coroutine.create(error)",
        "return {function() end, nil, 1}",
        "return {nil}",
        "return {nil, 1}",
        "return {1, nil, 3}",
        "return {[0] = 1}",
        "return {[1.5] = 1}",
        "return {[-1] = 1}",
        "return {double = 'x'}",
        "return {double = 0/0}",
        "return {double = 1/0}",
        "return {double = -1/0}",
        "return {big_number = 1}",
        "return {big_number = ''}",
        "return {big_number = '12\\r\\n34'}",
        "return {big_number = 'not a number'}",
        "return {big_number = ('9'):rep(100000)}",
        "return {verbatim_string = {}}",
        "return {verbatim_string = {format = 1, string = 2}}",
        "return {verbatim_string = {format = '', string = ''}}",
        "return {verbatim_string = {format = 'a', string = 'b'}}",
        "return {verbatim_string = {format = 'abcd', string = 'b'}}",
        "return {verbatim_string = {format = 'a\\0b', string = 'b'}}",
        "return {verbatim_string = {format = 'a\\r\\n', string = 'b\\r\\n'}}",
        "return {map = {}}",
        "return {map = {{}, {}}}",
        "return {map = 1}",
        "return {set = {}}",
        "return {set = {{}, {}}}",
        "return {set = 1}",
        "return {err = 'x', ok = 'y', double = 1, map = {}, set = {}}",
        "return setmetatable({}, {__index = function() error('index') end})",
        "return setmetatable({}, {__index = function(_, k) return k end})",
        "return setmetatable({1, 2}, {__len = error, __index = error})",
        "return {setmetatable({}, {__index = error, __tostring = error})}",
        "redis.setresp(3) return {map = {x = true, y = false}}",
        "redis.setresp(3) return {true, false, nil}",
        "redis.setresp(3) return redis.call('hgetall', 'nothing')",
        "redis.setresp(3) return redis.call('config', 'get', '*')",
        "return redis.call('command')",
        "return redis.call('command', 'docs')",
        "return redis.call('info', 'everything')",
        "return ('x'):rep(1e7)",
        "local t = {} for i = 1, 100000 do t[i] = i end return t",
        "local t = {} for i = 1, 100000 do t[i] = '' end return t",
        "return '\\r\\n'",
        "return '\\0'",
        "return ''",
        "return 1, 2, 3",
        "return",
        "",
        " ",
        "\n",
        "--",
        "return 1.9999999999999999",
        "return -0.5",
        "return '1' + 1",
        "return {1, 2, {3, 'x', {err = 'in the middle'}, {ok = 'fine'}}}",
    ]);
}

#[test]
fn replies_that_grow_without_end() {
    let server = Server::new().start();
    let mut client = server.client();
    client.set("redlua.memory-limit", "32mb");
    client.lua("return 1");
    let before = client.figure("used_memory");
    for script in [
        "local t = {} t[1] = t t[2] = t return t",
        "local t = {} t.map = {[t] = t} return t",
        "local t = {} t.map = {a = t, b = t} return t",
        "local t = {} t.set = {[t] = true, [{t, t}] = true} return t",
        "local t = {} for i = 1, 1000 do t[i] = t end return t",
        "local t = {('x'):rep(1e5)} for i = 1, 40 do t = {t, t} end return t",
        "local s, t = ('x'):rep(1e6), {} for i = 1, 1e4 do t[i] = s end return t",
    ] {
        let reply = client.lua(script);
        assert!(reply.starts_with("-ERR The reply of the script is larger"), "{script}: {reply}");
        assert_eq!(client.lua("return 1"), ":1");
        let after = client.figure("used_memory");
        assert!(after < before + 5_000_000, "{script}: {before} bytes became {after}");
    }
}

#[test]
fn a_memory_error_in_every_place_it_can_happen() {
    let server = Server::new().start();
    let mut client = server.client();
    client.set("redlua.memory-limit", "8mb");
    client.ok(&["SET", "big", &"x".repeat(5_000_000)]);
    client.lua("for i = 1, 100 do redis.call('rpush', 'list', i .. ('x'):rep(100000)) end");
    let run_id = client.info("run_id");
    let fresh = environment::describe(&mut client);
    let scripts = [
        "return ('x'):rep(1e8)",
        "local s = 'x' while true do s = s .. s end",
        "local t = {} while true do t[#t + 1] = #t end",
        "local t = {} while true do t[{}] = t end",
        "local t = {} for i = 1, 1e9 do t[i] = tostring(i) end",
        "while true do local ok = pcall(string.rep, 'x', 1e8) if ok then return 'caught' end end",
        "while true do pcall(function() local t = {} while true do t[#t + 1] = {} end end) end",
        "return tostring(xpcall(function() return ('x'):rep(1e8) end, function() return ('x'):rep(1e8) end))",
        "return tostring(coroutine.resume(coroutine.create(function() return ('x'):rep(1e8) end)))",
        "return tostring(pcall(coroutine.wrap(function() return ('x'):rep(1e8) end)))",
        "local t = {} while true do t[#t + 1] = coroutine.create(function() end) end",
        "local t = {} while true do t[#t + 1] = coroutine.wrap(function() coroutine.yield() end) t[#t]() end",
        "local function f(...) return f(1, ...) + f(...) end return f(unpack({}, 1, 7000))",
        "return table.concat({('x'):rep(3e6), ('x'):rep(3e6), ('x'):rep(3e6)})",
        "return (('x'):rep(3e6):gsub('x', 'yyyy'))",
        "return (('x'):rep(1e6):gsub('x', function(x) return ('y'):rep(100) end))",
        "return ('x'):rep(3e6):upper() .. ('x'):rep(3e6):reverse()",
        "return ('%s%s'):format(('x'):rep(3e6), ('x'):rep(3e6))",
        "return {redis.call('get', 'big'), redis.call('get', 'big') .. 'x'}",
        "local t = {} for i = 1, 10 do t[i] = redis.call('get', 'big') .. i end",
        "return redis.call('lrange', 'list', 0, -1)",
        "return redis.pcall('lrange', 'list', 0, -1)",
        "return pcall(redis.call, 'lrange', 'list', 0, -1)",
        "while true do redis.pcall('lrange', 'list', 0, -1) end",
        "local t = {} while true do t[#t + 1] = redis.sha1hex(#t) end",
        "local t = {} while true do t[#t + 1] = redis.error_reply('x ' .. #t) end",
        "local t = {} while true do t[#t + 1] = redis.status_reply('x ' .. #t) end",
        "error(('x'):rep(1e8))",
        "error({err = ('x'):rep(3e6) .. ('y'):rep(3e6)})",
        "local s = ('x'):rep(3e6) error({err = s .. s .. s})",
        "loadstring(('x = 1 '):rep(1e6))",
        "loadstring('return {' .. ('1,'):rep(1e6) .. '}')",
        "load(function() return 'x = 1 ' end)",
        "local t = {} for i = 1, 1e6 do t[i] = loadstring('return ' .. i) end",
        "table.sort({1, 2, 3, 4}, function() return ('x'):rep(1e8) end)",
        "local t = setmetatable({}, {__index = function(t, k) return ('x'):rep(1e8) end}) return t.x",
        "local t = setmetatable({}, {__gc = error}) return ('x'):rep(1e8)",
        "for w in ('x'):rep(7e6):gmatch('.*') do local u = w .. w end",
        "KEYS[1] = ('x'):rep(1e8)",
        "local t = {} for i = 1, 1e7 do KEYS[i] = i end",
        "redis.call('set', 'a', ('x'):rep(1e8))",
        "redis.call('set', 'a', 1) redis.call('set', 'b', ('x'):rep(1e8))",
        "collectgarbage('stop') while true do local t = {} end",
        "string.format('%s', ('x'):rep(1e8))",
        "return ('x'):rep(4e6) .. ('y'):rep(4e6)",
        "redis.log(redis.LOG_DEBUG, ('x'):rep(1e8))",
        "return tostring(pcall(error, ('x'):rep(1e8)))",
        "return unpack({}, 1, 7999), ('x'):rep(1e8)",
        "local function f(n) local a = ('x'):rep(1e5) .. n return f(n + 1) .. a end return f(1)",
    ];
    for script in scripts {
        let start = Instant::now();
        let reply = client.lua(script);
        assert!(start.elapsed() < PATIENCE, "{script}: {:?}", start.elapsed());
        let known =
            ["not enough memory", "stack overflow", "chunk has too many", "too many results"];
        assert!(
            known.iter().any(|text| reply.contains(text)),
            "{script}: {}",
            &reply[..reply.len().min(300)]
        );
        assert!(reply.starts_with('-'), "{script}: {}", &reply[..reply.len().min(300)]);
        assert_eq!(client.lua("return #('x'):rep(1000)"), ":1000", "after {script}");
        assert_eq!(environment::describe(&mut client), fresh, "after {script}");
    }
    assert_eq!(client.info("run_id"), run_id);
    let held = client.figure("redlua_used_memory_vm_eval");
    assert!(held < 2_000_000, "the virtual machine still holds {held} bytes");
}

#[test]
fn a_thousand_hostile_scripts_in_a_row_leave_no_memory_behind() {
    let server = Server::new().start();
    let mut client = server.client();
    client.set("redlua.memory-limit", "4mb");
    let scripts = [
        "error({})",
        "return ('x'):rep(1e8)",
        "local function f() return f() + 1 end return f()",
        "redis.call('nope')",
        "return ((",
        "local t = {} for i = 1, 200 do t[i] = coroutine.wrap(coroutine.yield) t[i]() end",
        "return pcall(error, {err = 'x'})",
        "x = 1",
        "local t = {} t[1] = t return t",
        "collectgarbage('stop') for i = 1, 1000 do local t = {i} end",
    ];
    let round = |client: &mut Client| {
        for script in scripts {
            client.lua(script);
        }
    };
    for _ in 0..20 {
        round(&mut client);
    }
    client.ok(&["LUA.SCRIPT", "FLUSH", "SYNC"]);
    let before = client.figure("used_memory");
    for _ in 0..100 {
        round(&mut client);
    }
    client.ok(&["LUA.SCRIPT", "FLUSH", "SYNC"]);
    let after = client.figure("used_memory");
    assert!(after < before + 500_000, "{before} bytes became {after}");
}
