-- gatepost.lua: asks Gatepost before each request. Needs HAProxy 2.5 or newer and no library.

-- What the application is told; the client's own never passes.
local IDENTITY = { "remote-user", "remote-email", "remote-name", "remote-groups", "x-auth-request-user", "x-auth-request-email",
  "x-auth-request-preferred-username", "x-auth-request-groups", "x-gatepost-assertion" }
-- Families of headers that a client may not send, and single ones.
local DROP_PREFIX = { "remote-", "x-auth-request-", "x-gatepost-", "x-original-", "x-forwarded-", "x-rewrite-" }
local DROP = { ["x-real-ip"] = true, forwarded = true }
-- What Gatepost is told of the client, and what the client is told of a refusal.
local ASK = { cookie = "; ", authorization = ", ", accept = ", ", ["accept-language"] = ", ", ["content-type"] = ", ", referer = ", ", origin = ", ", ["x-requested-with"] = ", ",
  ["sec-fetch-mode"] = ", ", ["sec-fetch-dest"] = ", ", ["sec-websocket-key"] = ", ", ["access-control-request-method"] = ", " }
local ANSWER = { location = true, ["www-authenticate"] = true, ["content-type"] = true, ["cache-control"] = true, ["retry-after"] = true, vary = true, ["x-request-id"] = true,
  ["content-security-policy"] = true, ["x-content-type-options"] = true, ["x-frame-options"] = true, ["referrer-policy"] = true }

-- dropped: CGI, WSGI and PHP read _ and . in a name as -, so no name has them.
local function dropped(name)
  if DROP[name] or name:find("[_.]") then return true end
  for _, prefix in ipairs(DROP_PREFIX) do
    if name:sub(1, #prefix) == prefix then return true end
  end
  return false
end

-- joined is the values of a header as one; two Cookie lines are one with a semicolon.
local function joined(values, separator)
  local all = {}
  for i = 0, #values do all[#all + 1] = values[i] end
  return table.concat(all, separator)
end

local function refuse(txn, status, headers, body)
  local reply = txn:reply()
  reply:set_status(status)
  for name, values in pairs(headers) do
    if ANSWER[name] then
      for i = 0, #values do
        if values[i] then reply:add_header(name, values[i]) end
      end
    end
  end
  if body and txn.f:method() ~= "HEAD" then reply:set_body(body) end
  txn:done(reply)
end

core.register_action("gatepost", { "http-req" }, function(txn, url)
  local ask = {}
  local headers = txn.http:req_get_headers()
  for name, values in pairs(headers) do
    if ASK[name] then ask[name] = { joined(values, ASK[name]) } end
    if dropped(name) then txn.http:req_del_header(name) end
  end
  local src = tostring(txn.f:src())
  local host = headers.host and joined(headers.host, ",") or ""
  local proto = txn.f:ssl_fc() == 1 and "https" or "http"
  ask["x-forwarded-method"] = { txn.f:method() }
  ask["x-forwarded-proto"] = { proto }
  ask["x-forwarded-host"] = { host }
  ask["x-forwarded-uri"] = { txn.f:pathq() }
  ask["x-forwarded-for"] = { src }

  local ok, answer = pcall(function() return core.httpclient():get({ url = url, headers = ask, timeout = 1500<<if .Socket>>, dst = "<<.Dial "unix@">>"<<end>> }) end)
  if not ok or not answer or not answer.status or answer.status < 200 or answer.status >= 500 then
    return refuse(txn, 503, { ["cache-control"] = { [0] = "no-store" }, ["retry-after"] = { [0] = "5" } })
  end
  if answer.status ~= 200 then
    return refuse(txn, answer.status, answer.headers or {}, answer.body)
  end
  for _, name in ipairs(IDENTITY) do
    local values = answer.headers[name]
    if values and values[0] and values[0] ~= "" then txn.http:req_set_header(name, values[0]) end
  end
  txn.http:req_set_header("x-forwarded-for", src)
  txn.http:req_set_header("x-forwarded-proto", proto)
  txn.http:req_set_header("x-forwarded-host", host)
  txn:set_var("txn.gatepost_passed", true)
end, 1)
