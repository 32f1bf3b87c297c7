//! One case or more for every edit of the Lua sources, on the VM alone. Each case says what
//! happens without its edit. Expected texts and numbers come from stock Redis.

#![expect(unsafe_code, reason = "the cases speak to the C API that the edits change")]

use redlua as _;

use std::alloc::Layout;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mlua_sys as ffi;
use mlua_sys::lua_State;

/// The API of `redlua.h`.
mod api {
    use super::{c_int, lua_State};

    unsafe extern "C-unwind" {
        pub fn lua_enablereadonlytable(state: *mut lua_State, index: c_int, enabled: c_int);
        pub fn lua_isreadonlytable(state: *mut lua_State, index: c_int) -> c_int;
        pub fn redlua_setorder(order: c_int);
        pub fn redlua_setpoll(
            state: *mut lua_State,
            poll: unsafe extern "C-unwind" fn(*mut lua_State) -> c_int,
        );
        pub fn redlua_setsample(
            state: *mut lua_State,
            sample: unsafe extern "C-unwind" fn(*mut lua_State) -> c_int,
        );
        pub fn redlua_sampling(state: *mut lua_State, on: c_int);
        pub fn redlua_isentering(state: *mut lua_State) -> c_int;
        pub fn redlua_interruptflag(state: *mut lua_State) -> *mut c_int;
        pub fn redlua_setdeath(state: *mut lua_State);
        pub fn redlua_die(state: *mut lua_State) -> c_int;
        pub fn redlua_isdying(state: *mut lua_State) -> c_int;
        pub fn redlua_rethrow(state: *mut lua_State);
        pub fn redlua_check(state: *mut lua_State);
        pub fn redlua_revive(state: *mut lua_State);
    }
}

/// What a VM has allocated, and which allocation of its fails.
#[derive(Default)]
struct Memory {
    live: Cell<usize>,
    grown: Cell<usize>,
    fails: Cell<Option<usize>>,
}

/// Fails to grow where `Memory` says so, and overwrites what is freed, so that a use after it shows.
///
/// # Safety
///
/// 1. `memory` is the VM's `Memory`.
/// 2. `block` is null, or a block of `old` bytes from here.
unsafe extern "C" fn allocate(
    memory: *mut c_void,
    block: *mut c_void,
    old: usize,
    new: usize,
) -> *mut c_void {
    let layout = |size| Layout::from_size_align(size, 16).expect("Lua asks for sane sizes");
    // SAFETY: by 1.
    let memory = unsafe { &*memory.cast::<Memory>() };
    if new > old {
        memory.grown.set(memory.grown.get() + 1);
        if memory.fails.get() == Some(memory.grown.get()) {
            return ptr::null_mut();
        }
    }
    let mut moved = ptr::null_mut::<u8>();
    if new > 0 {
        // SAFETY: the size is not zero.
        moved = unsafe { std::alloc::alloc(layout(new)) };
    }
    if old > 0 {
        let block = block.cast::<u8>();
        if new > 0 {
            // SAFETY: both blocks, the old one by 2, have as many bytes, and are distinct.
            unsafe { ptr::copy_nonoverlapping(block, moved, old.min(new)) };
        }
        // SAFETY: by 2.
        unsafe { block.write_bytes(0xDD, old) };
        // SAFETY: by 2.
        unsafe { std::alloc::dealloc(block, layout(old)) };
    }
    memory.live.set(memory.live.get() + new - old);
    moved.cast()
}

/// How a script failed.
#[derive(Debug, PartialEq)]
struct Failure {
    status: c_int,
    message: String,
}

/// A VM with the libraries that scripts have.
struct Vm {
    state: *mut lua_State,
    memory: Box<Memory>,
}

impl Vm {
    fn new() -> Self {
        let memory = Box::<Memory>::default();
        let ud = ptr::from_ref(&*memory).cast_mut().cast();
        // SAFETY: the memory lives as long as the VM, and nothing fails yet.
        let state = unsafe { ffi::lua_newstate(allocate, ud) };
        let vm = Self { state, memory };
        for (library, name) in [
            (ffi::luaopen_base as ffi::lua_CFunction, c""),
            (ffi::luaopen_table, c"table"),
            (ffi::luaopen_string, c"string"),
            (ffi::luaopen_math, c"math"),
        ] {
            vm.with(|state| {
                // SAFETY: the stack of a new VM has room for two.
                unsafe { ffi::lua_pushcfunction(state, library) };
                // SAFETY: as above.
                unsafe { ffi::lua_pushstring(state, name.as_ptr()) };
                // SAFETY: a library opens without errors while nothing fails.
                unsafe { ffi::lua_call(state, 1, 0) };
            });
        }
        vm.register(c"readonly", readonly);
        vm
    }

    /// Runs `action` on the state and empties the stack.
    fn with<T>(&self, action: impl FnOnce(*mut lua_State) -> T) -> T {
        let value = action(self.state);
        // SAFETY: the state is alive.
        unsafe { ffi::lua_settop(self.state, 0) };
        value
    }

    fn register(&self, name: &CStr, function: ffi::lua_CFunction) {
        // SAFETY: the stack is empty, and nothing fails.
        self.with(|state| unsafe { ffi::lua_register(state, name.as_ptr(), function) });
    }

    /// Compiles and runs `source` as a stock script is, and returns its first result as a string.
    fn run(&self, source: &str) -> Result<String, Failure> {
        let name = c"@user_script".as_ptr();
        self.with(|state| {
            let text = source.as_ptr().cast();
            // SAFETY: the text is as long as said.
            let mut status = unsafe { ffi::luaL_loadbuffer(state, text, source.len(), name) };
            // SAFETY: the state is alive.
            assert_eq!(unsafe { ffi::lua_gettop(state) }, 1, "a chunk is one value");
            if status == ffi::LUA_OK {
                // SAFETY: the chunk is on the stack.
                status = unsafe { ffi::lua_pcall(state, 0, 1, 0) };
            }
            let message = text_at(state, -1);
            if status == ffi::LUA_OK { Ok(message) } else { Err(Failure { status, message }) }
        })
    }

    /// The same for a script that must not fail.
    fn eval(&self, source: &str) -> String {
        self.run(source).unwrap_or_else(|failure| panic!("{source}: {failure:?}"))
    }

    /// Makes every check call [`poll`], which ends the run at the given one.
    fn poll_until(&self, end: Option<usize>) {
        POLLS.set(0);
        END.set(end);
        // SAFETY: the state is alive.
        unsafe { api::redlua_setpoll(self.state, poll) };
        self.flag().store(1, Ordering::Relaxed);
    }

    fn flag(&self) -> &AtomicI32 {
        // SAFETY: the flag lives as long as the VM, and the VM tolerates stores at any time.
        unsafe { AtomicI32::from_ptr(api::redlua_interruptflag(self.state)) }
    }

    fn dying(&self) -> c_int {
        // SAFETY: the state is alive.
        unsafe { api::redlua_isdying(self.state) }
    }

    fn revive(&self) {
        // SAFETY: the state is alive.
        unsafe { api::redlua_revive(self.state) };
    }

    /// Makes the bytes of `keys` the Lua strings of the global array `keys`, and the time it takes.
    fn push_strings(&self, keys: &[Vec<u8>]) -> Duration {
        self.push_keys(keys, |state, key| {
            // SAFETY: the text is as long as said, and nothing fails.
            unsafe { ffi::lua_pushlstring(state, key.as_ptr().cast(), key.len()) };
        })
    }

    fn push_keys<T>(&self, keys: &[T], push: impl Fn(*mut lua_State, &T)) -> Duration {
        self.with(|state| {
            // SAFETY: the stack has room, and nothing fails.
            unsafe { ffi::lua_createtable(state, keys.len() as c_int, 0) };
            let start = Instant::now();
            for (i, key) in keys.iter().enumerate() {
                push(state, key);
                // SAFETY: the table is under the key.
                unsafe { ffi::lua_rawseti(state, 1, i as ffi::lua_Integer + 1) };
            }
            let elapsed = start.elapsed();
            // SAFETY: the table is on the stack.
            unsafe { ffi::lua_setglobal(state, c"keys".as_ptr()) };
            elapsed
        })
    }

    /// How long it takes to fill a table with the keys, and to find them all again.
    fn time_keys(&self) -> Duration {
        let start = Instant::now();
        let found = self.eval(
            "local t, n = {}, 0
            for i, key in ipairs(keys) do t[key] = i end
            for i, key in ipairs(keys) do if t[key] == i then n = n + 1 end end
            for key, i in pairs(t) do if keys[i] == key then n = n + 1 end end
            return n - 2 * #keys",
        );
        assert_eq!(found, "0");
        start.elapsed()
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        // SAFETY: nothing uses the state any more.
        unsafe { ffi::lua_close(self.state) };
        if !thread::panicking() {
            assert_eq!(self.memory.live.get(), 0, "the VM leaks");
        }
    }
}

fn text_at(state: *mut lua_State, index: c_int) -> String {
    let mut length = 0;
    // SAFETY: the index is on the stack of a living state.
    let text = unsafe { ffi::lua_tolstring(state, index, &raw mut length) };
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the string is on the stack, and as long as said.
    let text = unsafe { std::slice::from_raw_parts(text.cast(), length) };
    String::from_utf8_lossy(text).into_owned()
}

thread_local! {
    static POLLS: Cell<usize> = const { Cell::new(0) };
    static END: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Counts, asks to be called again, and ends the run at the poll that [`END`] says.
unsafe extern "C-unwind" fn poll(state: *mut lua_State) -> c_int {
    POLLS.set(POLLS.get() + 1);
    // SAFETY: the state is alive.
    unsafe { api::redlua_interruptflag(state).write_volatile(1) };
    // SAFETY: the state is alive. A stack that moves shows whoever still points into the old one.
    unsafe { ffi::lua_checkstack(state, 100 * (POLLS.get() as c_int % 50)) };
    if END.get() != Some(POLLS.get()) {
        return 0;
    }
    // SAFETY: a poll has room on the stack.
    unsafe { ffi::lua_pushstring(state, c"killed".as_ptr()) };
    // SAFETY: the value is on the stack.
    unsafe { api::redlua_setdeath(state) };
    1
}

unsafe extern "C-unwind" fn readonly(state: *mut lua_State) -> c_int {
    // SAFETY: the cases call this with a table.
    unsafe { api::lua_enablereadonlytable(state, 1, 1) };
    // SAFETY: as above.
    unsafe { ffi::lua_pushboolean(state, api::lua_isreadonlytable(state, 1)) };
    1
}

fn killed() -> Failure {
    Failure { status: ffi::LUA_ERRRUN, message: "killed".to_owned() }
}

/// Without the edit every one of these changes the table.
#[test]
fn read_only_table_refuses_every_change_with_the_text_of_stock() {
    let vm = Vm::new();
    vm.eval("t = setmetatable({3, 1, 2, a = 1}, {__newindex = function() end}) readonly(t)");
    let before = "return t[1] .. t[2] .. t[3] .. t.a .. #t";
    let expected = vm.eval(before);
    for change in ["t.a = 2", "t.b = 1", "t[1] = 1", "t[4] = 1", "t[nil] = 1", "t[0/0] = 1"] {
        let message = "user_script:1: Attempt to modify a readonly table".to_owned();
        assert_eq!(vm.run(change), Err(Failure { status: ffi::LUA_ERRRUN, message }), "{change}");
    }
    for change in [
        "rawset(t, 'a', 2)",
        "rawset(t, nil, 2)",
        "table.insert(t, 4)",
        "table.insert(t, 1, 4)",
        "table.remove(t)",
        "table.sort(t)",
        "setmetatable(t, {})",
        "setmetatable(t, nil)",
    ] {
        let message = "Attempt to modify a readonly table".to_owned();
        assert_eq!(vm.run(change), Err(Failure { status: ffi::LUA_ERRRUN, message }), "{change}");
    }
    assert_eq!(vm.eval(before), expected);
}

/// Without the edit the script takes over the methods of every string.
#[test]
fn read_only_table_can_be_the_metatable_of_a_basic_type() {
    let vm = Vm::new();
    assert_eq!(vm.eval("return tostring(readonly(getmetatable('')))"), "true");
    let failure = vm.run("getmetatable('').__index = nil").expect_err("the metatable is kept");
    assert_eq!(failure.message, "user_script:1: Attempt to modify a readonly table");
}

/// Without the edit the bytecode is run.
#[test]
fn bytecode_is_read_as_source_text() {
    let vm = Vm::new();
    let message = "[string \"\u{1b}LuaQ\"]:1: unexpected symbol near 'char(27)'";
    assert_eq!(vm.eval("return select(2, loadstring(string.dump(function() end)))"), message);
    let failure = vm.run("\u{1b}LuaQ\0").expect_err("bytecode is refused");
    assert_eq!(failure.message, "user_script:1: unexpected symbol near 'char(27)'");
    assert_eq!(
        vm.eval(
            "local parts = {string.dump(function() end), nil}
            local code = parts[1]
            local at = 0
            return select(2, load(function()
                at = at + 1
                if at <= #code then return code:sub(at, at) end
            end, '=name'))"
        ),
        "name:1: unexpected symbol near 'char(27)'"
    );
}

/// Without the edit the message begins with freed memory.
#[test]
fn chunk_name_outlives_a_collection_in_the_reader() {
    let vm = Vm::new();
    let message = vm.eval(
        "local calls = 0
        return select(2, load(function()
            calls = calls + 1
            if calls == 2 then
                collectgarbage()
                return 'x = = 1'
            end
        end, '=' .. ('name'):rep(5) .. '\\0'))",
    );
    assert_eq!(message, "namenamenamenamename:1: unexpected symbol near '='");
}

/// Without the edit the first is an error; the others hold with and without.
#[test]
fn long_brackets_are_those_of_stock() {
    let vm = Vm::new();
    assert_eq!(vm.eval("return [[ a [[ b ]]"), " a [[ b ");
    assert_eq!(vm.eval("return [==[ ]] ]=] ]==] --[=[ ]] ]=]"), " ]] ]=] ");
    let level = "=".repeat(70_000);
    assert_eq!(vm.eval(&format!("return [{level}[]{level}]")), "");
    let failure = vm.run("x = [==").expect_err("the bracket is not closed");
    assert_eq!(failure.message, "user_script:1: invalid long string delimiter near '[=='");
}

/// Blocks of a source, each with how often it comes, as a reader of `lua_load` takes them.
struct Blocks(Vec<(&'static [u8], usize)>);

impl Blocks {
    fn load(mut self, vm: &Vm) -> (c_int, String) {
        let (blocks, name) = ((&raw mut self).cast(), c"=name".as_ptr());
        vm.with(|state| {
            // SAFETY: the blocks are what the reader expects.
            let status = unsafe { ffi::lua_load(state, Self::read, blocks, name) };
            (status, text_at(state, -1))
        })
    }

    unsafe extern "C-unwind" fn read(
        _: *mut lua_State,
        blocks: *mut c_void,
        size: *mut usize,
    ) -> *const c_char {
        // SAFETY: `load` passes the blocks, which nothing else uses meanwhile.
        let Self(blocks) = unsafe { &mut *blocks.cast() };
        while blocks.first().is_some_and(|&(_, times)| times == 0) {
            blocks.remove(0);
        }
        let block = blocks.first_mut().map_or(&b""[..], |(block, times)| {
            *times -= 1;
            block
        });
        // SAFETY: Lua passes a place for the size.
        unsafe { size.write(block.len()) };
        block.as_ptr().cast()
    }
}

/// Without the edit the message is made from a token that was never read.
#[test]
#[ignore = "reads two gigabytes of line ends, for a few seconds"]
fn line_counter_overflows_with_an_error() {
    let lines = Blocks(vec![(&[b'\n'; 1 << 16], usize::MAX)]);
    let message = "name:2147483645: chunk has too many lines".to_owned();
    assert_eq!(lines.load(&Vm::new()), (ffi::LUA_ERRSYNTAX, message));
}

/// Without the edit the level is negative, which makes this the beginning of a long comment.
#[test]
#[ignore = "needs six gigabytes of memory"]
fn level_of_a_long_bracket_does_not_overflow() {
    let comment = Blocks(vec![(b"--[", 1), (&[b'='; 1 << 16], (1 << 15) + 1), (b"\n", 1)]);
    assert_eq!(comment.load(&Vm::new()), (ffi::LUA_OK, String::new()));
}

/// Without the edit the count wraps, and the values are written past the stack.
#[test]
fn unpack_counts_without_overflow() {
    let vm = Vm::new();
    for range in ["0, 2147483647", "-2147483648, 2147483647", "-2, 2147483646", "1, 8000"] {
        let failure = vm.run(&format!("unpack({{}}, {range})")).expect_err("there are too many");
        assert_eq!(failure.message, "user_script:1: too many results to unpack", "{range}");
    }
    assert_eq!(vm.eval("return select('#', unpack({}, 1, 7990))"), "7990");
    assert_eq!(vm.eval("return select('#', unpack({}, 2147483646, 2147483647))"), "2");
}

/// Without the edit the first ones overflow the native stack.
#[test]
fn patterns_nest_so_far_and_no_further() {
    let vm = Vm::new();
    for item in ["a?", "a*", "a-", "()"] {
        let find = format!("local p = ('{item}'):rep(200000) return (('a'):rep(200000)):find(p)");
        let failure = vm.run(&find).expect_err("the pattern nests too deep");
        let reason = if item == "()" { "too many captures" } else { "pattern too complex" };
        assert_eq!(failure.message, format!("user_script:1: {reason}"), "{item}");
    }
    vm.eval("s, p = ('a'):rep(10000), ('a?'):rep(10000)");
    assert_eq!(vm.eval("return s:find(p .. '$')"), "1");
    assert_eq!(vm.eval("return #s:gmatch(p)()"), "10000");
    assert_eq!(vm.eval("return (s:gsub(p, 'b'))"), "bb");
    assert_eq!(vm.eval("return tostring((('x'):rep(1e6)):find('^.-b'))"), "nil");
    assert_eq!(vm.eval("return (('x'):rep(1e6)):find('^' .. ('x'):rep(1e6) .. '$')"), "1");
    assert_eq!(vm.eval("return #(('x'):rep(1e6)):match('(.*)x')"), "999999");
    assert_eq!(vm.eval("return (('x'):rep(1000)):gsub('x', {x = 'yy'}):len()"), "2000");
    assert_eq!(vm.eval("return (('x'):rep(1000)):gsub('(x?)(x?)', '%2%1'):len()"), "1000");
}

/// Without the edits each polls only where it is called, and is done before the poll that ends it.
#[test]
fn loops_of_libraries_poll() {
    let vm = Vm::new();
    vm.eval("t, e = {}, {} for i = 1, 2000 do t[i] = i * 7919 % 2000 e[i] = '' end");
    vm.eval("s = ('a'):rep(300000) set = '^[' .. ('b'):rep(1000) .. 'a]*c'");
    vm.eval("open = ('('):rep(300000) far = ('a'):rep(1000) .. 'b'");
    vm.eval("chain = 'return ' .. ('a and '):rep(3000) .. 'a'");
    for call in [
        "s:find('^.-b')",
        "s:find('^.*b')",
        "s:find(set)",
        "s:find('$b')",
        "s:find('%f[b]')",
        "s:match('^(a*)%1b')",
        "open:find('^%b()')",
        "s:find(far, 1, true)",
        "s:gsub('b', '')",
        "s:gsub('a', '')",
        "s:gmatch('b')()",
        "('a'):rep(2 ^ 24)",
        "s:upper()",
        "s:lower()",
        "s:reverse()",
        "('%q'):format(s)",
        "s:format()",
        "table.concat(e)",
        "table.sort(t)",
        "table.insert(t, 1, 1)",
        "table.remove(t, 1)",
        "table.maxn(t)",
        "loadstring(chain)",
    ] {
        vm.poll_until(Some(20));
        assert_eq!(vm.run(call), Err(killed()), "{call}");
        vm.revive();
    }
}

/// Without the edits these poll too, but once for work that takes seconds where it is repeated.
#[test]
fn steps_of_libraries_weigh_what_they_cost() {
    let vm = Vm::new();
    vm.eval("s = ('a'):rep(100) set = '[' .. ('b'):rep(1000000) .. ']'");
    vm.eval("any = '[' .. ('b'):rep(1000000) .. 'a]' long = ('a'):rep(200000)");
    vm.eval("chain = 'return ' .. ('a and '):rep(3000) .. 'a'");
    for (call, polls) in [
        ("s:find(set)", 50),
        ("s:find('%f' .. set)", 50),
        ("s:find('^' .. any .. '*c')", 50),
        ("s:find('^' .. any .. '-c')", 50),
        ("long:find('^(a*)%1b')", 1000),
        ("loadstring(chain)", 100_000),
    ] {
        vm.poll_until(Some(polls));
        assert_eq!(vm.run(call), Err(killed()), "{call}");
        vm.revive();
    }
}

/// Without the edit this counts to two billion.
#[test]
fn repetition_of_nothing_is_nothing() {
    let start = Instant::now();
    assert_eq!(Vm::new().eval("return (''):rep(2147483647)"), "");
    assert!(start.elapsed() < Duration::from_secs(1));
}

/// Without the edit a build that checks the API ends at the first of these that fills its frame.
#[test]
fn protected_calls_return_as_much_as_fits() {
    let vm = Vm::new();
    vm.eval("t = {} for i = 1, 300 do t[i] = i end");
    for call in ["pcall(unpack, t, 1, i)", "xpcall(function() return unpack(t, 1, i) end, type)"] {
        let script = format!(
            "for i = 1, 300 do assert(select('#', {call}) == i + 1) end return 'all of them'"
        );
        assert_eq!(vm.eval(&script), "all of them");
    }
}

/// Without the edit nothing polls in a loop of the VM, and none of these ever ends.
#[test]
fn run_ends_wherever_it_is() {
    let vm = Vm::new();
    vm.eval(
        "a, b = '1', 'a'
        function straight(line) return loadstring('local x ' .. (line):rep(10000)) end
        concat, less = straight('x = a .. b '), straight('x = b < a ')
        less_or_equal, add = straight('x = b <= a '), straight('x = a + 1 ')
        call = straight('math.abs(1) ')",
    );
    for script in [
        "while true do end",
        "repeat until false",
        "for i = 1, 1e308 do end",
        "for i in function() return 1 end do end",
        "for i in math.sin, 0, 0 do end",
        "local function f() return f() end f()",
        "local function f() f() f() end while true do pcall(f) end",
        "local t = setmetatable({}, {__index = function(t, k) return t[k + 1] end})
            while true do pcall(function() return t[1] end) end",
        "local co = coroutine.wrap(function() while true do coroutine.yield() end end)
            while true do co() end",
        "coroutine.wrap(function() while true do end end)()",
        "load(function() while true do end end)",
        "while true do loadstring('x = = 1') end",
        "table.sort({3, 2, 1}, function() while true do end end)",
        "(('x'):rep(10)):gsub('x', function() while true do end end)",
        "concat()",
        "less()",
        "less_or_equal()",
        "add()",
        "call()",
        "loadstring(('do local x = 1 end '):rep(10000))",
    ] {
        for end in [1, 2, 3, 50, 51, 1000, 5000] {
            vm.poll_until(Some(end));
            assert_eq!(vm.run(script), Err(killed()), "{script} at {end}");
            assert_eq!(vm.dying(), ffi::LUA_ERRRUN);
            vm.revive();
        }
    }
    assert_eq!(vm.eval("return 'alive'"), "alive");
}

/// Without the edit each of these goes on after the error, most of them for ever.
/// Without the edit the main loop looks for hooks at each instruction, and calls this one a thousand times.
#[test]
fn main_loop_looks_for_no_hooks() {
    static CALLS: AtomicI32 = AtomicI32::new(0);
    unsafe extern "C-unwind" fn hook(_: *mut lua_State, _: *mut ffi::lua_Debug) {
        CALLS.fetch_add(1, Ordering::Relaxed);
    }
    let vm = Vm::new();
    // SAFETY: the state is live.
    unsafe { ffi::lua_sethook(vm.state, Some(hook), ffi::LUA_MASKCOUNT, 1) };
    assert_eq!(vm.eval("local n = 0 for i = 1, 1000 do n = n + i end return n"), "500500");
    assert_eq!(CALLS.load(Ordering::Relaxed), 0);
}

#[test]
fn run_that_must_end_cannot_be_caught() {
    let vm = Vm::new();
    vm.register(c"die", die);
    vm.register(c"catch", catch);
    for script in [
        "pcall(die)",
        "while true do pcall(die) end",
        "while true do catch(die) end",
        "xpcall(die, function() while true do end end)",
        "xpcall(die, function() survived = true end)",
        "xpcall(function() error('first') end, die)",
        "coroutine.resume(coroutine.create(function() die() end))",
        "pcall(coroutine.wrap(function() pcall(die) end))",
        "load(die)",
        "pcall(load, function() pcall(die) end)",
        "(('x'):rep(9)):gsub('x', function() pcall(die) end)",
        "pcall(table.sort, {2, 1, 3}, die)",
        "pcall(function() return setmetatable({}, {__index = die}).x end)",
        "pcall(pcall, pcall, xpcall, die, die)",
    ] {
        let failure = vm.run(&format!("{script} survived = true"));
        assert_eq!(failure, Err(killed()), "{script}");
        assert_eq!(vm.dying(), ffi::LUA_ERRRUN);
        assert_eq!(vm.run("survived = true"), Err(killed()), "a dying VM runs nothing");
        vm.revive();
        assert_eq!(vm.eval("return tostring(survived)"), "nil", "{script}");
    }
    assert_eq!(vm.eval("return tostring(pcall(error, 'x'))"), "false");
}

/// What a host function does that ends the run.
unsafe extern "C-unwind" fn die(state: *mut lua_State) -> c_int {
    // SAFETY: a function has room on the stack.
    unsafe { ffi::lua_pushstring(state, c"killed".as_ptr()) };
    // SAFETY: the value is on the stack.
    unsafe { api::redlua_setdeath(state) };
    // SAFETY: this frame has nothing to drop.
    unsafe { api::redlua_die(state) }
}

/// What a host function does that stands in for `pcall`.
unsafe extern "C-unwind" fn catch(state: *mut lua_State) -> c_int {
    // SAFETY: the function to call is on the stack.
    let status = unsafe { ffi::lua_pcall(state, ffi::lua_gettop(state) - 1, 0, 0) };
    // SAFETY: this frame has nothing to drop.
    unsafe { api::redlua_rethrow(state) };
    // SAFETY: there is room where the function was.
    unsafe { ffi::lua_pushboolean(state, status) };
    1
}

/// Without the edit the last words are those of freed memory.
#[test]
fn error_of_the_host_outlives_a_collection() {
    unsafe extern "C-unwind" fn end(state: *mut lua_State) -> c_int {
        // SAFETY: this frame has nothing to drop.
        unsafe { api::redlua_die(state) }
    }
    let vm = Vm::new();
    vm.register(c"finish", end);
    vm.with(|state| {
        // SAFETY: the stack has room, and nothing fails.
        unsafe { ffi::lua_pushstring(state, c"last words".as_ptr()) };
        // SAFETY: the value is on the stack.
        unsafe { api::redlua_setdeath(state) };
    });
    let failure = vm.run("collectgarbage() pcall(finish)").expect_err("the run is over");
    assert_eq!(failure.message, "last words");
}

/// Without the edit the flag means nothing.
#[test]
fn any_thread_may_set_the_flag() {
    let vm = Vm::new();
    END.set(Some(1));
    POLLS.set(0);
    // SAFETY: the state is alive.
    unsafe { api::redlua_setpoll(vm.state, poll) };
    let flag = vm.flag();
    thread::scope(|scope| {
        scope.spawn(|| flag.store(1, Ordering::Relaxed));
        assert_eq!(vm.run("while true do pcall(string.rep, 'x', 10) end"), Err(killed()));
    });
}

/// Without the edit a poll that says no is asked again only when someone sets the flag, but the
/// host's own loops never ask.
#[test]
fn host_functions_poll_too() {
    unsafe extern "C-unwind" fn spin(state: *mut lua_State) -> c_int {
        loop {
            // SAFETY: this frame has nothing to drop.
            unsafe { api::redlua_check(state) };
        }
    }
    let vm = Vm::new();
    vm.register(c"spin", spin);
    vm.poll_until(Some(100));
    assert_eq!(vm.run("pcall(spin)"), Err(killed()));
}

/// Without the edit nothing tells of functions that end, and a poll does not know what it stands before.
#[test]
fn functions_that_end_are_told_of_while_the_flag_is_set() {
    thread_local! {
        static NOTES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    }
    fn note(state: *mut lua_State, what: &str) {
        // SAFETY: an all-zero record is what `lua_getstack` fills.
        let mut record: ffi::lua_Debug = unsafe { std::mem::zeroed() };
        // SAFETY: a function is on.
        unsafe { ffi::lua_getstack(state, 0, &raw mut record) };
        // SAFETY: the record was just filled.
        unsafe { ffi::lua_getinfo(state, c"n".as_ptr(), &raw mut record) };
        // SAFETY: the functions of the case have names.
        let name = unsafe { CStr::from_ptr(record.name) };
        NOTES.with_borrow_mut(|notes| notes.push(format!("{what} {}", name.to_string_lossy())));
        // SAFETY: the state is alive. A stack that moves shows whoever still points into the old one.
        unsafe { ffi::lua_checkstack(state, 1000) };
    }
    unsafe extern "C-unwind" fn ended(state: *mut lua_State) -> c_int {
        note(state, "end of");
        0
    }
    unsafe extern "C-unwind" fn asked(state: *mut lua_State) -> c_int {
        // SAFETY: the state is alive.
        let is_entering = unsafe { api::redlua_isentering(state) } != 0;
        note(state, if is_entering { "before" } else { "in" });
        0
    }
    unsafe extern "C-unwind" fn ask(state: *mut lua_State) -> c_int {
        // SAFETY: the state is alive.
        unsafe { api::redlua_interruptflag(state).write_volatile(1) };
        0
    }
    let vm = Vm::new();
    vm.register(c"ask", ask);
    // SAFETY: the state is alive.
    unsafe { api::redlua_setpoll(vm.state, asked) };
    // SAFETY: as above.
    unsafe { api::redlua_setsample(vm.state, ended) };
    let call =
        "local function give(x) ask() return x, x end local a, b = give(7) return a + b + #type(a)";
    let lua = "local function spin(x) x() for i = 1, 2 do end end spin(ask)";
    let thread = "coroutine.wrap(function() ask() type(1) end)()";
    let notes = |source: &str, on| {
        // SAFETY: the state is alive.
        unsafe { api::redlua_sampling(vm.state, on) };
        vm.run(source).unwrap_or_else(|failure| panic!("{source}: {failure:?}"));
        NOTES.take()
    };
    assert_eq!(notes(call, 1), ["end of ask", "end of give", "before type"]);
    assert_eq!(vm.eval(call), "20");
    NOTES.take();
    assert_eq!(notes(lua, 1), ["end of x", "in spin"]);
    assert_eq!(notes(thread, 1), ["end of ask", "before type"]);
    assert_eq!(notes(call, 0), ["before type"]);
}

/// Without the edits `pairs` visits keys in another order: strings over 31 bytes hash differently,
/// and in Valkey all of them do.
#[test]
fn tables_have_the_order_of_the_server() {
    const REDIS: c_int = 0;
    const VALKEY: c_int = 1;
    for (server, seed, order) in [
        (VALKEY, 1, "1193287229"),
        (VALKEY, 7, "993023171"),
        (VALKEY, 42, "1006893089"),
        (REDIS, 1, "3816336674"),
        (REDIS, 7, "3774066045"),
        (REDIS, 42, "4277924633"),
        (REDIS, 1234, "3080939203"),
        (REDIS, 99991, "1567393411"),
        (REDIS, 20_000_003, "684865703"),
    ] {
        // SAFETY: the other cases do not look at the order, and a key keeps the place it has.
        unsafe { api::redlua_setorder(server) };
        let script = ORDER.replace("SEED", &seed.to_string());
        assert_eq!(Vm::new().eval(&script), order, "server {server}, seed {seed}");
    }
}

/// Folds the order in which `pairs` visits the keys of many tables into one number.
const ORDER: &str = "
local seed, sum = SEED, 0
local function rnd(n) seed = (seed * 16807) % 2147483647 return seed % n end
local function key()
  local k = rnd(8)
  if k < 2 then
    local s = ''
    for i = 1, rnd(12) do s = s .. string.char(97 + rnd(26)) end
    return s
  elseif k == 2 then return ('abc'):rep(rnd(60)) .. rnd(100)
  elseif k == 3 then return rnd(1000)
  elseif k == 4 then return -rnd(1000)
  elseif k == 5 then return rnd(100000) / 7
  elseif k == 6 then return rnd(2) == 0
  else return 'user:' .. rnd(500) .. ':name' end
end
for round = 1, 40 do
  local t = round % 2 == 0 and {1, 2, 3, x = 1, y = 2} or {key(), [key()] = 1}
  for i = 1, rnd(400) do
    if rnd(4) == 0 then t[#t + 1] = i else t[key()] = i end
  end
  for k in pairs(t) do
    local s = tostring(k)
    for i = 1, #s do sum = (sum * 31 + s:byte(i)) % 4294967291 end
  end
end
return tostring(sum)
";

/// As often as `usual`, give or take the noise of a busy machine.
fn assert_comparable(chosen: Duration, usual: Duration) {
    let bound = usual * 20 + Duration::from_millis(100);
    assert!(chosen < bound, "{chosen:?} for chosen keys, {usual:?} for usual ones");
}

/// Without the edit they are all one chain of the table of strings: the hash looks at every fifth
/// byte of a string of this length.
#[test]
fn strings_cannot_be_chosen_to_collide_in_the_table_of_strings() {
    let spread = |places: [usize; 4]| -> Vec<Vec<u8>> {
        (0..1_u32 << 15)
            .map(|n| {
                let mut key = vec![b'x'; 128];
                for (i, place) in places.into_iter().enumerate() {
                    key[place] = b'a' + (n >> (4 * i) & 15) as u8;
                }
                key
            })
            .collect()
    };
    let vm = Vm::new();
    let usual = vm.push_strings(&spread([127, 122, 117, 112]));
    let chosen = vm.push_strings(&spread([126, 125, 124, 123]));
    assert_comparable(chosen, usual);
}

/// Without the edit they are all one chain of the table: the hash is the same for all of them.
#[test]
fn strings_cannot_be_chosen_to_collide_in_tables() {
    let vm = Vm::new();
    let usual: Vec<_> = (0..1 << 15).map(|i| format!("{i:060}").into_bytes()).collect();
    vm.push_strings(&usual);
    let usual = vm.time_keys();
    vm.push_strings(&colliding_strings(15));
    assert_comparable(vm.time_keys(), usual);
}

/// `2^bits` strings that stock hashes alike: for each of the `bits` blocks there are two texts
/// after which the hash has the same state.
fn colliding_strings(bits: usize) -> Vec<Vec<u8>> {
    let step = |hash: u32, byte: &u8| {
        let mixed = (hash << 5).wrapping_add(hash >> 2).wrapping_add(u32::from(*byte));
        hash ^ mixed
    };
    let text = |n: u32| [0, 5, 10, 15].map(|shift| b'A' + (n >> shift & 31) as u8);
    let mut strings = vec![Vec::new()];
    let mut state = (4 * bits) as u32;
    for _ in 0..bits {
        let mut seen = HashMap::new();
        let (n, twin) = (0..1 << 20)
            .find_map(|n| {
                let after = text(n).iter().fold(state, step);
                seen.insert(after, n).map(|twin| (n, twin))
            })
            .expect("a million texts have twins among a few billion states");
        state = text(n).iter().fold(state, step);
        // Stock hashes from the last byte to the first.
        strings = [text(n), text(twin)]
            .iter()
            .flat_map(|block| {
                strings.iter().map(|tail| block.iter().rev().chain(tail).copied().collect())
            })
            .collect();
    }
    strings
}

/// Without the edit they are all one chain of the table: the sum of their halves is the same.
#[test]
fn numbers_cannot_be_chosen_to_collide_in_tables() {
    let push = |state, number: &f64| {
        // SAFETY: the stack has room.
        unsafe { ffi::lua_pushnumber(state, *number) };
    };
    let vm = Vm::new();
    let usual: Vec<_> = (0..1 << 15).map(|i| f64::from(i) + 0.5).collect();
    vm.push_keys(&usual, push);
    let usual = vm.time_keys();
    let chosen: Vec<_> = (0..1_u64 << 15)
        .map(|i| f64::from_bits((0x4000_0000 + i) << 32 | (0x8000_0000 - i)))
        .collect();
    vm.push_keys(&chosen, push);
    assert_comparable(vm.time_keys(), usual);
}

/// Without the edits the script catches the error, or a traversal of the table does not end.
#[test]
fn lack_of_memory_ends_the_run_and_breaks_nothing() {
    let vm = Vm::new();
    let failed = Failure { status: ffi::LUA_ERRMEM, message: "not enough memory".to_owned() };
    for script in [
        // Integer keys that move from the hash part to the array part, and back.
        "for i = 40, 1, -1 do t[i] = i end for i = 1, 39 do t[i] = nil end
            for i = 1, 40 do t['k' .. i] = i end",
        "pcall(function() t[1] = ('x'):rep(100000):upper() end)",
        "t[1] = coroutine.wrap(function() return loadstring('return {1, 2, a = {}}') end)()()",
        "xpcall(function() error({}) end, function(e) return {e, ('y'):rep(2000)} end)",
        "local n = 0 load(function() n = n + 1 if n < 50 then return 'x=' .. n .. ' ' end end)",
        "local function f(n) return n == 0 and 0 or 1 + f(n - 1) end pcall(f, 300)",
    ] {
        for nth in 1.. {
            vm.eval("t = {}");
            vm.memory.fails.set(Some(vm.memory.grown.get() + nth));
            let outcome = vm.run(&format!("{script} return 'done'"));
            vm.memory.fails.set(None);
            if outcome.as_deref() == Ok("done") {
                break;
            }
            assert_eq!(outcome.as_ref(), Err(&failed), "{script}");
            assert_eq!(vm.dying(), ffi::LUA_ERRMEM);
            vm.revive();
            let rest = vm.eval(
                "local n = 0
                for k, v in pairs(t) do
                    n = n + 1
                    if n > 1000 then return 'a traversal without an end' end
                    if rawget(t, k) ~= v then return 'a key out of place' end
                end
                for i = 1, 100 do t[i] = i end
                return #t",
            );
            assert_eq!(rest, "100", "{script}");
        }
    }
}

/// Without the edit the message of the error is made where nothing catches: the process ends.
#[test]
fn lack_of_memory_in_an_error_handler_is_caught() {
    for nth in 1.. {
        let vm = Vm::new();
        let status = vm.with(|state| {
            // SAFETY: the stack is empty, and nothing fails.
            let compiled = unsafe { ffi::luaL_loadstring(state, c"error({})".as_ptr()) };
            assert_eq!(compiled, ffi::LUA_OK);
            vm.memory.fails.set(Some(vm.memory.grown.get() + nth));
            // SAFETY: the chunk is called, and handles its own errors.
            unsafe { ffi::lua_pushvalue(state, 1) };
            // SAFETY: as above.
            unsafe { ffi::lua_pcall(state, 0, 0, 1) }
        });
        vm.memory.fails.set(None);
        if status != ffi::LUA_ERRMEM {
            assert_eq!(status, ffi::LUA_ERRERR);
            break;
        }
    }
}

/// Without the limits of Lua, which the edits keep, these overflow the native stack.
#[test]
fn deep_nesting_of_source_is_an_error() {
    let vm = Vm::new();
    for open in ["(", "{", "return function() ", "not ", "a..", "do ", "a=b^", "x[", "f{"] {
        let failure = vm.run(&format!("x = {}", open.repeat(200_000)));
        assert!(failure.is_err(), "{open}");
        let failure = vm.run(&open.repeat(200_000));
        assert!(failure.is_err(), "{open}");
    }
}
