-- Spreads requests over many routes: /r00000/x, /r07919/x, ... The stride is a prime, so every route comes once per turn and
-- neighbours in time are not neighbours in the table. Requests are built once; sending one costs a table look-up.
-- Usage: wrk ... -s spread.lua URL -- ROUTES
local requests = {}
local count = 0
local index = 0
local stride = 7919

function init(args)
  count = tonumber(args[1])
  for route = 0, count - 1 do
    requests[route] = wrk.format("GET", string.format("/r%05d/x", route))
  end
end

function request()
  index = (index + stride) % count
  return requests[index]
end
