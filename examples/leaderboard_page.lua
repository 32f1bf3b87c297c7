-- Leaderboard page: rank, member and score of one page, best first; equal scores share a rank.
--
-- KEYS[1]  sorted set of the scores
-- ARGV[1]  page, counted from 1
-- ARGV[2]  members per page
--
-- Returns {members in total, {rank, member, score}, {rank, member, score}, ...}. Scores are strings,
-- because Redis cuts the fraction off a number that a script returns.

local board = KEYS[1]
local page, size = tonumber(ARGV[1]), tonumber(ARGV[2])

if not board or not page or page < 1 or not size or size < 1 then
  return redis.error_reply('ERR usage: 1 board page members-per-page')
end

local first = (page - 1) * size
local rows = redis.call('ZRANGE', board, first, first + size - 1, 'REV', 'WITHSCORES')
local reply = {redis.call('ZCARD', board)}

local rank, previous
for i = 1, #rows, 2 do
  local member, score = rows[i], rows[i + 1]
  if not previous then
    -- The page may begin in the middle of a group of equal scores.
    rank = redis.call('ZCOUNT', board, '(' .. score, '+inf') + 1
  elseif score ~= previous then
    rank = first + (i + 1) / 2
  end
  reply[#reply + 1] = {rank, member, score}
  previous = score
end
return reply
