/**
 * The Lua script by which Dovecot's auth worker asks services/auth: passdb "may this login be, and make the
 * account if need be", userdb "is there such an account". Dovecot 2.4's Lua API (auth-lua, dovecot.http).
 * The settings come as lua_settings: `url`, and `secret_file` with the shared secret.
 */
import { users } from "../layout.ts";

/** Where the script lies on the device. */
export const dovecotAuthLuaPath = "/usr/lib/homing/dovecot-auth.lua";

/*
 * Dovecot's conventions: the second result must be a table on success, and nil or a string otherwise (a
 * table would turn a refusal into an internal error). A failed request has a 9xxx status, so anything
 * unexpected ends as a temporary failure, never as "wrong password" or "no such user".
 */
export const dovecotAuthLua = `-- Asks the account service of the relay. Made by Homing; see appliance/files/dovecot-auth-lua.ts.
local client, url, authorization

function script_init(settings)
  url = settings["url"]
  local file = assert(io.open(settings["secret_file"], "r"))
  authorization = "Bearer " .. assert(file:read("l"), "the shared secret is empty")
  file:close()
  return 0
end

local function escape(text)
  return (string.gsub(text or "", "[^%w%-._~]", function(character)
    return string.format("%%%02X", string.byte(character))
  end))
end

local function ask(path, body)
  if client == nil then
    client = dovecot.http.client{ request_absolute_timeout = "10s", max_idle_time = "60s" }
  end
  local request = client:request{ url = url .. path, method = "POST" }
  request:add_header("Authorization", authorization)
  request:add_header("Content-Type", "application/x-www-form-urlencoded")
  request:set_payload(body)
  return request:submit():status()
end

function auth_password_verify(request, password)
  local status = ask("/verify", "user=" .. escape(request.user) .. "&password=" .. escape(password)
    .. "&service=" .. escape(request.protocol) .. "&ip=" .. escape(request.remote_ip))
  if status == 200 then return dovecot.auth.PASSDB_RESULT_OK, {} end
  if status == 403 then return dovecot.auth.PASSDB_RESULT_PASSWORD_MISMATCH, nil end
  if status == 423 then return dovecot.auth.PASSDB_RESULT_USER_DISABLED, nil end
  return dovecot.auth.PASSDB_RESULT_INTERNAL_FAILURE, nil
end

function auth_passdb_lookup(request)
  return dovecot.auth.PASSDB_RESULT_USER_UNKNOWN, nil
end

function auth_userdb_lookup(request)
  local status = ask("/exists", "user=" .. escape(request.user) .. "&service=" .. escape(request.protocol))
  if status == 200 then
    return dovecot.auth.USERDB_RESULT_OK, { uid = "${users.vmail.name}", gid = "${users.vmail.name}" }
  end
  if status == 404 then return dovecot.auth.USERDB_RESULT_USER_UNKNOWN, nil end
  return dovecot.auth.USERDB_RESULT_INTERNAL_FAILURE, nil
end
`;
