-- Sliding-window rate limiter: a caller may make at most LIMIT requests in any WINDOW milliseconds.
--
-- KEYS[1]  sorted set of the caller's recent requests
-- ARGV[1]  limit: how many requests
-- ARGV[2]  window, in milliseconds
-- ARGV[3]  id of this request; asking again with an id that was counted is free
-- ARGV[4]  now, in milliseconds (optional; the server's clock when left out)
--
-- Returns {allowed (1 or 0), requests left, milliseconds to wait before the next try}.

local key, id = KEYS[1], ARGV[3]
local limit, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local now = tonumber(ARGV[4])

if not key or not id or not limit or limit < 1 or not window or window < 1 then
  return redis.error_reply('ERR usage: 1 key limit window-ms request-id [now-ms]')
end
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

redis.call('ZREMRANGEBYSCORE', key, '-inf', now - window)
local used = redis.call('ZCARD', key)

if redis.call('ZSCORE', key, id) then
  return {1, math.max(limit - used, 0), 0}
end
if used >= limit then
  local oldest = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  return {0, 0, oldest[2] + window - now}
end

redis.call('ZADD', key, now, id)
-- Whoever stops asking leaves nothing behind.
redis.call('PEXPIRE', key, window)
return {1, limit - used - 1, 0}
