-- Runs the documents in ARGV and answers for each all that its chunk of Lua returns, as text. The first
-- argument is a chunk that runs before every document and after the last one; then come three for each
-- document: "ordered" or not, its chunk, and the bytes that the chunk is given. Tables are shown in the
-- order of `pairs` and with their length, because scripts see both, unless they depend on addresses.
local ordered
local function show(value)
  local kind = type(value)
  if kind == "string" then return #value .. ":" .. value end
  if kind == "number" then return string.format("%.17g", value) end
  if kind == "boolean" or kind == "nil" then return tostring(value) end
  if kind ~= "table" then return kind end
  local fields = {}
  for key, field in pairs(value) do
    fields[#fields + 1] = show(key) .. "=" .. show(field)
  end
  if not ordered then table.sort(fields) end
  return (ordered and #value or "") .. "{" .. table.concat(fields, ",") .. "}"
end

local function showall(...)
  local shown = {...}
  for i = 1, select("#", ...) do shown[i] = show(shown[i]) end
  return table.concat(shown, " | ")
end

local before = assert(loadstring(ARGV[1]))
local answers = {}
for i = 2, #ARGV, 3 do
  before()
  ordered = ARGV[i] == "ordered"
  answers[#answers + 1] = showall(assert(loadstring(ARGV[i + 1]))(ARGV[i + 2]))
end
before()
return answers
