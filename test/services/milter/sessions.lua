-- Drives the milter as a mail server, by Debian's miltertest(8): a client of the protocol that nobody here wrote.
-- miltertest -D socket=unix:PATH -D folder=FOLDER -s sessions.lua; called by miltertest.test.ts, which writes
-- FOLDER/encrypted.eml and FOLDER/plain.eml. Prints "ok NAME" for each check, and "failed ..." for the first that
-- does not hold: miltertest itself swallows the texts of Lua's errors.

local alice, bob = "alice1234@a.test", "bobby1234@b.test"
local names = {
  [SMFIR_ACCEPT] = "accept", [SMFIR_CONTINUE] = "continue", [SMFIR_TEMPFAIL] = "tempfail",
  [SMFIR_REPLYCODE] = "replycode", [SMFIR_SKIP] = "skip",
}

local function check(name, held, detail)
  if not held then error(name .. ": " .. tostring(detail)) end
  mt.echo("ok " .. name)
end

-- The header as a list of {name, value}, and the body, of a file with CRLF.
local function read(name)
  local file = assert(io.open(folder .. "/" .. name, "rb"))
  local text = file:read("*a")
  file:close()
  local ending, body = string.find(text, "\r\n\r\n", 1, true)
  local fields = {}
  local unfolded = string.gsub(string.sub(text, 1, ending + 1), "\r\n([ \t])", "\n%1")
  for line in string.gmatch(unfolded, "(.-)\r\n") do
    local field, value = string.match(line, "^([^:]+): ?(.*)$")
    table.insert(fields, { field, value })
  end
  return fields, string.sub(text, body + 1)
end

-- Runs one step; no is the flag by which the milter declines it, silent the one by which it leaves the answer out.
local function step(conn, name, no, silent, call, ...)
  if no and mt.test_option(conn, no) then return "continue" end
  local problem = call(conn, ...)
  if problem ~= nil then error(name .. ": " .. tostring(problem)) end
  if silent and mt.test_option(conn, silent) then return "continue" end
  return names[mt.getreply(conn)] or tostring(mt.getreply(conn))
end

local function connect(version, actions, steps, daemon)
  local conn = mt.connect(socket, 20, 0.1)
  if conn == nil then error("cannot connect to " .. socket) end
  local problem = mt.negotiate(conn, version, actions, steps)
  if problem ~= nil then error("negotiation: " .. tostring(problem)) end
  mt.macro(conn, SMFIC_CONNECT, "j", "mx.a.test", "{daemon_name}", daemon)
  step(conn, "connect", SMFIP_NOCONNECT, SMFIP_NR_CONN, mt.conninfo, "client.test", "192.0.2.1")
  step(conn, "helo", SMFIP_NOHELO, SMFIP_NR_HELO, mt.helo, "client.test")
  return conn
end

-- Sends a message up to its end or an earlier verdict; returns that and the step that gave it.
local function send(conn, name, login)
  local fields, body = read(name)
  if login then mt.macro(conn, SMFIC_MAIL, "{auth_authen}", login, "i", "4XyZ") else mt.macro(conn, SMFIC_MAIL, "i", "4XyZ") end
  local verdict = step(conn, "mail", SMFIP_NOMAIL, SMFIP_NR_MAIL, mt.mailfrom, "<" .. alice .. ">")
  if verdict ~= "continue" then return verdict, "mail" end
  step(conn, "rcpt", SMFIP_NORCPT, SMFIP_NR_RCPT, mt.rcptto, "<" .. bob .. ">")
  if not mt.test_option(conn, SMFIP_NODATA) then step(conn, "data", SMFIP_NODATA, SMFIP_NR_DATA, mt.data) end
  for _, field in ipairs(fields) do
    step(conn, "header", SMFIP_NOHDRS, SMFIP_NR_HDR, mt.header, field[1], field[2])
  end
  verdict = step(conn, "eoh", SMFIP_NOEOH, SMFIP_NR_EOH, mt.eoh)
  if verdict ~= "continue" then return verdict, "eoh" end
  verdict = step(conn, "body", SMFIP_NOBODY, SMFIP_NR_BODY, mt.bodystring, body)
  if verdict ~= "continue" and verdict ~= "skip" then return verdict, "body" end
  local problem = mt.eom(conn)
  if problem ~= nil then error("end of message: " .. tostring(problem)) end
  return names[mt.getreply(conn)], "eom"
end

local function main()
  mt.set_timeout(60)
  local conn = connect(6, nil, nil, "submission")
  local verdict, where = send(conn, "encrypted.eml", alice)
  check("an encrypted message is taken", verdict == "continue" and where == "eom", verdict .. " at " .. where)
  check("its subject is covered", mt.eom_check(conn, MT_HDRCHANGE, "Subject", " [...]"))
  check("the client's name is removed", mt.eom_check(conn, MT_HDRDELETE, "User-Agent"))
  check("it is signed, above all", mt.eom_check(conn, MT_HDRINSERT, "DKIM-Signature"))
  check("the signature is ours", string.find(mt.getheader(conn, "DKIM-Signature", 0) or "", "d=a.test;", 1, true))

  verdict, where = send(conn, "plain.eml", alice)
  check("plain text is refused at its header", verdict == "replycode" and where == "eoh", verdict .. " at " .. where)
  verdict = send(conn, "encrypted.eml", alice)
  check("the session goes on", verdict == "continue", verdict)

  mt.macro(conn, SMFIC_MAIL, "{auth_authen}", alice)
  step(conn, "mail", nil, SMFIP_NR_MAIL, mt.mailfrom, "<" .. alice .. ">")
  mt.abort(conn)
  verdict, where = send(conn, "encrypted.eml", nil)
  check("a login counts for one message", verdict == "replycode" and where == "mail", verdict .. " at " .. where)
  mt.disconnect(conn)

  conn = connect(2, 0x3f, 0x7f, "submission")
  verdict = send(conn, "encrypted.eml", alice)
  check("version 2: taken", verdict == "continue", verdict)
  check("version 2: signed at the end of the header", mt.eom_check(conn, MT_HDRADD, "DKIM-Signature"))
  mt.disconnect(conn, false)
end

local ok, problem = pcall(main)
if not ok then
  mt.echo("failed " .. tostring(problem))
  error(problem)
end
