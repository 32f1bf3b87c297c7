-- Token bucket: lets bursts through up to CAPACITY, and RATE requests per second in the long run.
--
-- KEYS[1]  hash with the state of one bucket
-- ARGV[1]  capacity: the largest burst
-- ARGV[2]  rate: tokens that come back per second
-- ARGV[3]  cost of this request, in tokens (optional; 1 when left out)
-- ARGV[4]  now, in milliseconds (optional; the server's clock when left out)
--
-- Returns {allowed (1 or 0), whole tokens left, milliseconds to wait before this request can pass}.

local key = KEYS[1]
local capacity, rate = tonumber(ARGV[1]), tonumber(ARGV[2])
local cost = tonumber(ARGV[3] or 1)
local now = tonumber(ARGV[4])

if not key or not capacity or capacity < 1 or not rate or rate <= 0 or not cost or cost < 0 then
  return redis.error_reply('ERR usage: 1 key capacity tokens-per-second [cost [now-ms]]')
end
if cost > capacity then
  return redis.error_reply('ERR the cost is above the capacity, so the request can never pass')
end
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

local state = redis.call('HMGET', key, 'tokens', 'at')
local tokens = tonumber(state[1]) or capacity
local at = tonumber(state[2]) or now

-- A clock that was set back gives nothing and takes nothing.
local elapsed = math.max(now - at, 0)
tokens = math.min(capacity, tokens + elapsed * rate / 1000)

-- The state is rounded to millionths; whoever waited as long as told must not fail by one of them.
local allowed = tokens + 0.000001 >= cost
if allowed then
  tokens = math.max(tokens - cost, 0)
end
redis.call('HSET', key, 'tokens', string.format('%.6f', tokens), 'at', at + elapsed)
-- A full bucket and a missing one are the same.
redis.call('PEXPIRE', key, math.ceil((capacity - tokens) * 1000 / rate) + 1000)

local wait = allowed and 0 or math.ceil((cost - tokens) * 1000 / rate)
return {allowed and 1 or 0, math.floor(tokens + 0.000001), wait}
