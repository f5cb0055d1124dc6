-- gatepost.lua: asks Gatepost before each request. Needs mod_lua and lua-socket.
local http = require "socket.http"
local ltn12 = require "ltn12"

local GATEPOST = "http://<<.Gatepost>><<.BasePath>>/forward"
<<- if .Shared>>
local PAGES = "proxy:http://<<.Gatepost>><<.BasePath>>"
<<- end>>
http.TIMEOUT = 3 -- seconds

-- What the application is told; the client's own never passes.
local IDENTITY = { "Remote-User", "Remote-Email", "Remote-Name", "Remote-Groups", "X-Auth-Request-User", "X-Auth-Request-Email",
  "X-Auth-Request-Preferred-Username", "X-Auth-Request-Groups", "X-Gatepost-Assertion" }
-- Families of headers that a client may not send, and single ones.
local DROP_PREFIX = { "remote-", "x-auth-request-", "x-gatepost-", "x-original-", "x-forwarded-", "x-rewrite-" }
local DROP = { ["x-real-ip"] = true, forwarded = true }
-- What Gatepost is told of the client, and what the client is told of a refusal.
local ASK = { "Cookie", "Authorization", "Accept", "Accept-Language", "Content-Type", "Referer", "Origin", "X-Requested-With", "Sec-Fetch-Mode", "Sec-Fetch-Dest",
  "Sec-WebSocket-Key", "Access-Control-Request-Method" }
local ANSWER = { "Location", "WWW-Authenticate", "Cache-Control", "Retry-After", "Vary", "X-Request-Id", "Content-Security-Policy", "X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy" }

-- dropped: CGI, WSGI and PHP read _ and . in a name as -, so no name has them.
local function dropped(name)
  if DROP[name] or name:find("[_.]") then return true end
  for _, prefix in ipairs(DROP_PREFIX) do
    if name:sub(1, #prefix) == prefix then return true end
  end
  return false
end

-- Connection names headers for Apache to drop: Gatepost's, for one.
local function connection(headers)
  local tokens = "," .. (headers["Connection"] or ""):lower():gsub("%s", "") .. ","
  if headers["Upgrade"] then return "Upgrade" end
  return tokens:find(",close,", 1, true) and "close" or nil
end

local function refuse(r, status, headers, body)
  for _, name in ipairs(ANSWER) do
    local value = headers[name:lower()]
    if value then r.err_headers_out[name] = value end
  end
  if body == "" then return status end -- Apache's own page
  r.status = status
  r.content_type = headers["content-type"] or "text/plain"
  r:write(body)
  return apache2.DONE
end

function check(r)
  local ask = {}
  for _, name in ipairs(ASK) do ask[name] = r.headers_in[name] end
  if ask.Cookie then ask.Cookie = ask.Cookie:gsub(", ", "; ") end -- Apache joins two lines by a comma
  for name in pairs(r:headers_in_table()) do
    if dropped(name:lower()) then r.headers_in[name] = nil end
  end
<<- if .Shared>>
  -- What goes to Gatepost itself is its own pages, which nobody is asked for.
  if r.filename and r.filename:sub(1, #PAGES) == PAGES then return apache2.OK end
<<- end>>
  local proto = r.is_https and "https" or "http"
  ask["X-Forwarded-Method"] = r.method
  ask["X-Forwarded-Proto"] = proto
  ask["X-Forwarded-Host"] = r.headers_in["Host"] or r.hostname or ""
  ask["X-Forwarded-Uri"] = r.unparsed_uri
  ask["X-Forwarded-For"] = r.useragent_ip

  local body = {}
  local ok, done, status, headers = pcall(http.request, { url = GATEPOST, headers = ask, redirect = false, sink = ltn12.sink.table(body) })
  if not ok or not done or type(status) ~= "number" or status >= 500 or status < 200 then
    return refuse(r, 503, { ["cache-control"] = "no-store", ["retry-after"] = "5" }, "")
  end
  if status ~= 200 then return refuse(r, status, headers, table.concat(body)) end

  for _, name in ipairs(IDENTITY) do
    local value = headers[name:lower()]
    if value and value ~= "" then r.headers_in[name] = value end
  end
  r.headers_in["X-Forwarded-Proto"] = proto -- the others are mod_proxy's
  r.headers_in["Connection"] = connection(r.headers_in)
  return apache2.OK
end
