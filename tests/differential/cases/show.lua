-- Turns values into text, so that a reply shows what RESP would hide. Case files with `show = true`
-- have these functions.
local function show(value, depth)
  local kind = type(value)
  if kind == "string" then return string.format("%q", value) end
  if kind == "number" then return string.format("%.17g", value) end
  if kind == "function" or kind == "thread" then return kind end
  if kind ~= "table" then return tostring(value) end
  depth = (depth or 0) + 1
  if depth > 9 then return "..." end
  local keys = {}
  for key in pairs(value) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b)
    local left, right = type(a), type(b)
    if left ~= right then return left < right end
    if left == "boolean" then return a and not b end
    if left == "table" then return show(a) < show(b) end
    return a < b
  end)
  local fields = {}
  for i, key in ipairs(keys) do
    fields[i] = "[" .. show(key, depth) .. "]=" .. show(value[key], depth)
  end
  return "{" .. table.concat(fields, ",") .. "}"
end
local function showall(...)
  local shown = {}
  for i = 1, select("#", ...) do shown[i] = show((select(i, ...))) end
  return table.concat(shown, " | ")
end
