-- Delayed queue: moves jobs whose time has come from the list of jobs in work to the ready list.
--
-- KEYS[1]  sorted set of jobs by the time at which they become due
-- KEYS[2]  list of jobs in work, where a delayed job may still lie
-- KEYS[3]  list of ready jobs
-- ARGV[1]  how many jobs to move at most
-- ARGV[2]  now, in milliseconds (optional; the server's clock when left out)
--
-- Returns how many jobs were moved. A job is delayed by ZADD with its time: a new one to run it
-- later, one in work to try it again. take_job.lua is the other half.

local due, working, ready = KEYS[1], KEYS[2], KEYS[3]
local most, now = tonumber(ARGV[1]), tonumber(ARGV[2])

if not ready or not most or most < 1 then
  return redis.error_reply('ERR usage: 3 due working ready most [now-ms]')
end
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

local jobs = redis.call('ZRANGE', due, '-inf', now, 'BYSCORE', 'LIMIT', 0, most)
for _, job in ipairs(jobs) do
  redis.call('ZREM', due, job)
  redis.call('LREM', working, 1, job)
  redis.call('LPUSH', ready, job)
end
return #jobs
