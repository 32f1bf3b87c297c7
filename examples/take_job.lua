-- Queue take: moves the oldest ready job to the list of jobs in work, and notes when it is overdue.
--
-- KEYS[1]  list of ready jobs
-- KEYS[2]  list of jobs in work
-- KEYS[3]  sorted set of jobs by the time at which they become due again
-- ARGV[1]  how long the worker may take, in milliseconds
-- ARGV[2]  now, in milliseconds (optional; the server's clock when left out)
--
-- Returns the job, or nil when none is ready. The worker that is done with it removes it from the
-- second list and from the sorted set; move_due_jobs.lua brings it back if that never happens. Jobs
-- are told apart by their text, so each should hold an id of its own.

local ready, working, due = KEYS[1], KEYS[2], KEYS[3]
local patience, now = tonumber(ARGV[1]), tonumber(ARGV[2])

if not due or not patience or patience < 1 then
  return redis.error_reply('ERR usage: 3 ready working due patience-ms [now-ms]')
end
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

local job = redis.call('LMOVE', ready, working, 'RIGHT', 'LEFT')
if job then
  redis.call('ZADD', due, now + patience, job)
end
return job
