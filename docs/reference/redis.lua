---@meta redis
-- Generated from the declarations by `cargo xtask reference`: what scripts see beyond Lua 5.1's own base,
-- string, table, math and coroutine libraries. For LuaLS and other editors' tools; no server reads it.

---The keys a script is given. A function of a library gets them as its first parameter.
---@type string[]
KEYS = {}

---The other arguments a script is given. A function of a library gets them as its second parameter.
---@type string[]
ARGV = {}

---@class redis
---@field LOG_DEBUG integer A level for redis.log.
---@field LOG_NOTICE integer A level for redis.log.
---@field LOG_VERBOSE integer A level for redis.log.
---@field LOG_WARNING integer A level for redis.log.
---@field REDIS_VERSION string The Redis version the server is compatible with, as text.
---@field REDIS_VERSION_NUM integer The Redis version the server is compatible with, one byte per part.
---@field REPL_ALL integer A destination for redis.set_repl.
---@field REPL_AOF integer A destination for redis.set_repl.
---@field REPL_NONE integer A destination for redis.set_repl.
---@field REPL_REPLICA integer A destination for redis.set_repl.
---@field REPL_SLAVE integer A destination for redis.set_repl.
redis = {}

---Returns whether the caller's user may run the command on these keys and channels.
---
---Where: scripts and functions.
---@param command string
---@param ... string|number
---@return boolean
function redis.acl_check_cmd(command, ...) end

---Stops a debugging session at the next line; returns whether there is a session.
---
---Where: scripts.
---@return boolean
function redis.breakpoint() end

---Runs a command and returns its reply; an error reply is raised as a Lua error.
---
---Where: scripts and functions.
---@param command string
---@param ... string|number
---@return any
function redis.call(command, ...) end

---Prints values in a debugging session; does nothing outside one.
---
---Where: scripts.
---@param ... any
function redis.debug(...) end

---Returns an error reply; its first word is the error code, a single word gets the code ERR.
---
---Where: scripts and functions.
---@param message string
---@return {err: string}
function redis.error_reply(message) end

---Writes a line to the server's log; several messages are joined by blanks.
---
---Where: everywhere.
---@param level integer
---@param ... string|number
function redis.log(level, ...) end

---Runs a command and returns its reply; an error reply is returned as a table with the field err.
---
---Where: scripts and functions.
---@param command string
---@param ... string|number
---@return any
function redis.pcall(command, ...) end

---Makes a function of the library callable by FCALL.
---
---Where: everywhere.
---@param name string
---@param callback fun(keys: string[], args: string[]): any
---@overload fun(definition: {function_name: string, callback: fun(keys: string[], args: string[]): any, flags?: string[], description?: string})
function redis.register_function(name, callback) end

---Does nothing and returns true: effects are always replicated command by command.
---
---Where: scripts.
---@return boolean
function redis.replicate_commands() end

---Chooses where the effects of the commands that follow go, for the rest of the run.
---
---Where: scripts and functions.
---@param flags integer
function redis.set_repl(flags) end

---Chooses RESP 2 or 3 for the replies this run sees; every run starts with 2.
---
---Where: scripts and functions.
---@param version 2|3
function redis.setresp(version) end

---Returns the SHA1 digest of a string in hexadecimal.
---
---Where: scripts and functions.
---@param text string|number
---@return string
function redis.sha1hex(text) end

---Returns a status reply.
---
---Where: scripts and functions.
---@param message string
---@return {ok: string}
function redis.status_reply(message) end

---@class server: redis
---@field SERVER_NAME string The name of the server, redis or valkey.
---@field SERVER_VERSION string? The version of the server, as text; on Redis.
---@field SERVER_VERSION_NUM integer? The version of the server, one byte per part; on Redis.
---@field VALKEY_VERSION string? The version of the server, as text; on Valkey.
---@field VALKEY_VERSION_NUM integer? The version of the server, one byte per part; on Valkey.
server = {}

---@class math
math = math

---Returns a pseudo-random number: in [0,1), an integer in [1,high], or in [low,high].
---
---Where: scripts and functions.
---@return number
---@overload fun(high: integer): integer
---@overload fun(low: integer, high: integer): integer
function math.random() end

---Starts the sequence of math.random for an integer seed; it goes on across runs.
---
---Where: scripts and functions.
---@param seed integer
function math.randomseed(seed) end

---@class os
os = {}

---Returns the processor time the server used, in seconds.
---
---Where: scripts and functions.
---@return number
function os.clock() end

---@class cjson
---@field _NAME string The name of the library.
---@field _VERSION string The version of the library it is equal to.
---@field array_mt table A metatable with which an empty table is encoded as an array.
---@field empty_array lightuserdata What is encoded as an empty array.
---@field null lightuserdata What null is decoded to, and is encoded as null.
cjson = {}

---Returns the value that a JSON text stands for.
---
---Where: scripts and functions.
---@param text string|number
---@return any
function cjson.decode(text) end

---Sets and returns whether empty arrays are decoded to tables that are encoded as arrays again.
---
---Where: everywhere; stock has no such member.
---@param enabled? boolean
---@return boolean
function cjson.decode_array_with_array_mt(enabled) end

---Sets and returns whether integers beyond 2^53 are decoded to strings with all their digits.
---
---Where: everywhere; stock has no such member.
---@param enabled? boolean
---@return boolean
function cjson.decode_big_numbers_as_strings(enabled) end

---Sets and returns whether NaN, infinities and hexadecimal numbers are decoded.
---
---Where: scripts and functions.
---@param setting? boolean|'off'|'on'
---@return boolean
function cjson.decode_invalid_numbers(setting) end

---Sets and returns how deep arrays and objects may be nested to be decoded.
---
---Where: scripts and functions.
---@param depth? integer
---@return integer
function cjson.decode_max_depth(depth) end

---Returns a value as JSON text.
---
---Where: scripts and functions.
---@param value any
---@return string
function cjson.encode(value) end

---Sets and returns whether numbers are encoded with 17 digits, which read back as the same number.
---
---Where: everywhere; stock has no such member.
---@param enabled? boolean
---@return boolean
function cjson.encode_full_precision(enabled) end

---Sets and returns whether NaN and infinities are errors, written, or written as null.
---
---Where: scripts and functions.
---@param setting? boolean|'off'|'on'|'null'
---@return boolean|'null'
function cjson.encode_invalid_numbers(setting) end

---Sets and returns a flag without effect: buffers are always kept as long as it pays.
---
---Where: scripts and functions.
---@param keep? boolean
---@return boolean
function cjson.encode_keep_buffer(keep) end

---Sets and returns how deep tables may be nested to be encoded.
---
---Where: scripts and functions.
---@param depth? integer
---@return integer
function cjson.encode_max_depth(depth) end

---Sets and returns the significant digits of encoded numbers, 1 to 14.
---
---Where: scripts and functions.
---@param digits? integer
---@return integer
function cjson.encode_number_precision(digits) end

---Sets and returns what becomes of lists with gaps: from item `safe` on, one that spans more than `ratio` times its items is an error, or an object if `convert`.
---
---Where: scripts and functions.
---@param convert? boolean
---@param ratio? integer
---@param safe? integer
---@return boolean
---@return integer
---@return integer
function cjson.encode_sparse_array(convert, ratio, safe) end

---Returns another cjson with settings of its own.
---
---Where: scripts and functions.
---@return cjson
function cjson.new() end

---@class cmsgpack
---@field _COPYRIGHT string The copyright line of the server's own library.
---@field _DESCRIPTION string What the library is, in a few words.
---@field _NAME string The name of the library.
---@field _VERSION string The version of the library whose behaviour this one has.
cmsgpack = {}

---Returns its arguments as MessagePack, one after the other.
---
---Where: scripts and functions.
---@param value any
---@param ... any
---@return string
function cmsgpack.pack(value, ...) end

---Returns all values of a MessagePack text.
---
---Where: scripts and functions.
---@param text string
---@return any ...
function cmsgpack.unpack(text) end

---Returns the offset behind at most so many values, -1 at the end, and the values.
---
---Where: scripts and functions.
---@param text string
---@param limit integer
---@param offset? integer
---@return integer
---@return any ...
function cmsgpack.unpack_limit(text, limit, offset) end

---Returns the offset behind the value at an offset, -1 at the end, and the value.
---
---Where: scripts and functions.
---@param text string
---@param offset? integer
---@return integer
---@return any
function cmsgpack.unpack_one(text, offset) end

---@class struct
struct = {}

---Returns a string with the values as bytes, one after another as the format says.
---
---Where: scripts and functions.
---@param format string
---@param ... string|number
---@return string
function struct.pack(format, ...) end

---Returns how many bytes a format takes.
---
---Where: scripts and functions.
---@param format string
---@return integer
function struct.size(format) end

---Returns the values found in a string, and the position behind them.
---
---Where: scripts and functions.
---@param format string
---@param bytes string
---@param start? integer
---@return string|number ...
function struct.unpack(format, bytes, start) end

---@class bit
bit = {}

---Shifts bits to the right, by a count modulo 32, and copies of the highest bit in.
---
---Where: scripts and functions.
---@param number number
---@param count number
---@return integer
function bit.arshift(number, count) end

---Returns the bits that all numbers have.
---
---Where: scripts and functions.
---@param number number
---@param ... number
---@return integer
function bit.band(number, ...) end

---Returns the complement of a number's bits.
---
---Where: scripts and functions.
---@param number number
---@return integer
function bit.bnot(number) end

---Returns the bits that any of the numbers has.
---
---Where: scripts and functions.
---@param number number
---@param ... number
---@return integer
function bit.bor(number, ...) end

---Returns the four bytes of a number in reverse.
---
---Where: scripts and functions.
---@param number number
---@return integer
function bit.bswap(number) end

---Returns the bits that an odd count of the numbers has.
---
---Where: scripts and functions.
---@param number number
---@param ... number
---@return integer
function bit.bxor(number, ...) end

---Shifts bits to the left, by a count modulo 32.
---
---Where: scripts and functions.
---@param number number
---@param count number
---@return integer
function bit.lshift(number, count) end

---Rotates bits to the left, by a count modulo 32.
---
---Where: scripts and functions.
---@param number number
---@param count number
---@return integer
function bit.rol(number, count) end

---Rotates bits to the right, by a count modulo 32.
---
---Where: scripts and functions.
---@param number number
---@param count number
---@return integer
function bit.ror(number, count) end

---Shifts bits to the right, by a count modulo 32, and zeros in.
---
---Where: scripts and functions.
---@param number number
---@param count number
---@return integer
function bit.rshift(number, count) end

---Returns the low 32 bits of a number as a signed integer.
---
---Where: scripts and functions.
---@param number number
---@return integer
function bit.tobit(number) end

---Returns the low bits in hexadecimal, 8 digits unless told; in capitals if told below zero.
---
---Where: scripts and functions.
---@param number number
---@param digits? integer
---@return string
function bit.tohex(number, digits) end
