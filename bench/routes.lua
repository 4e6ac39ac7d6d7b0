-- SPDX-License-Identifier: Apache-2.0
-- wrk: the routes /r0/x, /r<step>/x, ... in turn; ROUTES of them, STEP apart, in a mixed order.
local count = tonumber(os.getenv("ROUTES"))
local step = tonumber(os.getenv("STEP"))
local requests = {}
local at = 0

function init()
    for i = 0, count - 1 do
        local route = (i * 7919 % count) * step -- 7919 is prime: every route once
        requests[i] = wrk.format("GET", "/r" .. route .. "/x")
    end
end

function request()
    at = (at + 1) % count
    return requests[at]
end
