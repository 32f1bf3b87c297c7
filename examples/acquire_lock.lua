-- Lock with a fencing number: takes or renews a lock, and numbers its holders one after another.
--
-- KEYS[1]  the lock
-- KEYS[2]  counter of the fencing numbers, which outlives the lock
-- ARGV[1]  token: a random string that only this holder knows
-- ARGV[2]  how long the lock holds without renewal, in milliseconds
--
-- Returns the fencing number, or nil while somebody else holds the lock. Storage that remembers the
-- highest number it has seen can refuse a holder whose time ran out without its noticing.
-- release_lock.lua gives the lock back.

local lock, counter = KEYS[1], KEYS[2]
local token, ttl = ARGV[1], tonumber(ARGV[2])

if not lock or not counter or not token or token == '' or not ttl or ttl < 1 then
  return redis.error_reply('ERR usage: 2 lock counter token ttl-ms')
end

local holder = redis.call('GET', lock)
if holder == token then
  redis.call('PEXPIRE', lock, ttl)
  return tonumber(redis.call('GET', counter)) or redis.call('INCR', counter)
end
if holder then
  return nil
end
redis.call('SET', lock, token, 'PX', ttl)
return redis.call('INCR', counter)
