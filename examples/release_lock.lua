-- Lock release by compare-and-delete: deletes a lock only while it holds the caller's token.
--
-- KEYS[1]  the lock
-- ARGV[1]  the token it was taken with
--
-- Returns 1 if the lock was released, 0 if it had run out or somebody else holds it. A plain DEL
-- would free a lock that has meanwhile passed to another holder.

if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
