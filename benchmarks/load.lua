-- Posts the lines of a file, each a JSON body, one after the other; prints what happened as one JSON line.
--
--     wrk -t1 -c64 -d10s --latency -s load.lua URL -- FILE FIRST
--
-- FIRST is the line to begin with, so that two loads at once do not send the same bodies.

local bodies = {}
local place = 0

function init(arguments)
  for line in io.lines(arguments[1]) do bodies[#bodies + 1] = line end
  place = tonumber(arguments[2] or "0") % #bodies
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
end

function request()
  place = place % #bodies + 1
  return wrk.format(nil, nil, nil, bodies[place])
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "p50": %.6f, "p99": %.6f, "bad_statuses": %d, "broken": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e6, latency:percentile(99) / 1e6,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
