-- For wrk: documents and variables from two files, a JSON value in each line, each time the next of both.
-- wrk ... -s requests.lua URL -- DOCUMENTS VARIABLES OFFSET
local documents, variables, at

local function lines(path)
  local found = {}
  for line in io.lines(path) do found[#found + 1] = line end
  return found
end

function init(args)
  documents, variables, at = lines(args[1]), lines(args[2]), tonumber(args[3])
end

function request()
  at = at + 1
  local body = '{"query":' .. documents[at % #documents + 1] .. ',"variables":' .. variables[at % #variables + 1] .. '}'
  return 'POST ' .. wrk.path .. ' HTTP/1.1\r\nHost: ' .. wrk.host .. '\r\nContent-Type: application/json\r\n' ..
    'Accept: application/json\r\nContent-Length: ' .. #body .. '\r\n\r\n' .. body
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('\n{"requests":%d,"seconds":%f,"failed":%d,"p50_ms":%f,"p99_ms":%f}\n', summary.requests,
    summary.duration / 1e6, errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
