//! What must be true of the server when all is over.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::arena::{Arena, Node, Programs};

/// How long the replica may take to have everything.
const PATIENCE: Duration = Duration::from_secs(60);

/// How much more memory than at the start may be in use, in percent.
const MORE_MEMORY: u64 = 5;

/// What no line of a server's log may contain, in small letters.
const BAD_WORDS: &[&str] =
    &["assert", "crash", "panic", "a bug was met", "bug report", "guru meditation"];

/// Everything a script sees that an earlier one could have changed, as one text.
const CANARY: &str = r"
local seen, lines = {}, {}
local function walk(path, value)
  lines[#lines + 1] = path .. ' ' .. type(value)
  if type(value) ~= 'table' or seen[value] then return end
  seen[value] = true
  for name, member in next, value do walk(path .. '.' .. tostring(name), member) end
  local meta = getmetatable(value)
  if meta then walk(path .. '<meta>', meta) end
end
walk('_G', _G)
walk('string meta', getmetatable(''))
for _, value in ipairs({0, true, walk, coroutine.create(walk)}) do
  lines[#lines + 1] = type(value) .. ' meta ' .. type(getmetatable(value))
end
table.sort(lines)
for _, name in ipairs({'encode_max_depth', 'decode_max_depth', 'encode_number_precision',
  'encode_keep_buffer', 'encode_invalid_numbers', 'decode_invalid_numbers', 'encode_sparse_array'}) do
  lines[#lines + 1] = 'cjson.' .. name
  for _, setting in ipairs({pcall(cjson[name])}) do lines[#lines + 1] = tostring(setting) end
end
lines[#lines + 1] = 'RESP ' .. #redis.call('HGETALL', 'canary:hash')
lines[#lines + 1] = 'database ' .. redis.call('GET', 'canary:database')
lines[#lines + 1] = tostring(coroutine.running())
lines[#lines + 1] = ('%q %.3f'):format('x', 1 / 3) .. tostring(1e15) .. tostring(0.1)
return table.concat(lines, '\n')
";

/// What scripts and functions see.
///
/// # Errors
/// The server is gone, or a script that must run does not.
pub fn canary(node: &Node) -> Result<String> {
    let mut wire = node.wire()?;
    wire.text("SELECT 9")?;
    wire.text("SET canary:database nine")?;
    wire.text("SELECT 0")?;
    wire.text("SET canary:database zero")?;
    wire.text("DEL canary:hash")?;
    wire.text("HSET canary:hash a 1 b 2")?;
    let body = CANARY.trim();
    let library =
        format!("#!lua name=canary\nredis.register_function('canary', function() {body}\nend)");
    wire.text_of(&["LUA.FUNCTION", "LOAD", "REPLACE", &library])?;
    let script = wire.text_of(&["LUA.EVAL", body, "0"])?;
    let function = wire.text("LUA.FCALL canary 0")?;
    wire.text("LUA.FUNCTION DELETE canary")?;
    let text = [script, b"\nand in a function:\n".to_vec(), function].concat();
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Whether scripts see what they see on a server nobody ever harmed.
///
/// # Errors
/// They do not, or the new server does not start.
pub fn environment_is_clean(arena: &Arena, programs: &Programs, folder: &Path) -> Result<()> {
    let fresh = canary(&Node::start(programs, &folder.join("fresh"), &[])?)?;
    let now = canary(&arena.master)?;
    if now == fresh {
        return Ok(());
    }
    let differs = now.lines().zip(fresh.lines()).find(|(now, fresh)| now != fresh);
    let (now, fresh) = differs.unwrap_or(("less", "more"));
    bail!("scripts see '{now}' where those of a fresh server see '{fresh}'")
}

/// Whether the replica, once attached, has the master's data and functions.
///
/// # Errors
/// It does not get them in time.
pub fn replica_is_equal(arena: &Arena) -> Result<()> {
    let mut master = arena.master.wire()?;
    for number in 0..20 {
        master.text(&format!("SET last:{number} {number}"))?;
    }
    master.text_of(&[
        "LUA.FUNCTION",
        "LOAD",
        "REPLACE",
        "#!lua name=last\nredis.register_function('last', function() return 1 end)",
    ])?;
    if let Err(trouble) = arena.attach() {
        bail!("the replica does not answer: {trouble}");
    }
    let start = Instant::now();
    loop {
        let differs = difference(arena)?;
        match differs {
            None => return Ok(()),
            Some(what) if start.elapsed() > PATIENCE => bail!("the replica has another {what}"),
            Some(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

fn difference(arena: &Arena) -> Result<Option<&'static str>> {
    let (master, replica) = (&arena.master, &arena.replica);
    if replica.info("master_link_status").is_ok_and(|status| status == "up") {
        if master.info("master_repl_offset")? != replica.info("master_repl_offset")? {
            return Ok(Some("place in the stream"));
        }
        for (what, command) in
            [("dataset", "DEBUG DIGEST"), ("set of functions", "LUA.FUNCTION DUMP")]
        {
            if master.wire()?.text(command)? != replica.wire()?.text(command)? {
                return Ok(Some(what));
            }
        }
        return Ok(None);
    }
    Ok(Some("link to its master, which is down"))
}

/// Memory in use without what clients, replicas and the append-only file take for a while.
///
/// # Errors
/// The server is gone.
pub fn memory_in_use(node: &Node) -> Result<u64> {
    let number = |name: &str| Ok::<u64, anyhow::Error>(node.info(name)?.parse()?);
    let mut used = number("used_memory")?;
    for part in [
        "mem_clients_normal",
        "mem_clients_slaves",
        "mem_total_replication_buffers",
        "mem_aof_buffer",
    ] {
        used = used.saturating_sub(number(part)?);
    }
    Ok(used)
}

/// Forgets all data, scripts and functions, and what is kept of the past.
///
/// # Errors
/// The server is gone.
pub fn forget_everything(node: &Node) -> Result<()> {
    let mut wire = node.wire()?;
    for command in [
        "FLUSHALL SYNC",
        "LUA.FUNCTION FLUSH SYNC",
        "LUA.SCRIPT FLUSH SYNC",
        "CONFIG RESETSTAT",
        "ACL LOG RESET",
        "MEMORY PURGE",
    ] {
        wire.text(command)?;
    }
    Ok(())
}

/// Whether the memory is back to what it was.
///
/// # Errors
/// It stays higher.
pub fn memory_is_back(node: &Node, start: u64) -> Result<()> {
    let begin = Instant::now();
    loop {
        forget_everything(node)?;
        let now = memory_in_use(node)?;
        if now <= start + start * MORE_MEMORY / 100 {
            println!("==> memory: {start} bytes at the start, {now} at the end");
            return Ok(());
        }
        // What is freed in the background takes its time.
        if begin.elapsed() > Duration::from_secs(10) {
            bail!("{now} bytes are in use, and {start} were at the start");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Whether a log is free of words that only trouble brings.
///
/// # Errors
/// It is not.
pub fn log_is_clean(node: &Node) -> Result<()> {
    let log = node.log();
    // What a script raised is its own affair.
    let is_of_script = |line: &str| {
        ["Script ", "Function "].iter().any(|it| line.contains(&format!("<redlua> {it}")))
            && line.contains(" failed: ")
    };
    let bad = log.lines().filter(|line| !is_of_script(line)).find(|line| {
        let line = line.to_lowercase();
        BAD_WORDS.iter().any(|word| line.contains(word))
    });
    match bad {
        Some(line) => bail!("in the log: {line}"),
        None => Ok(()),
    }
}
