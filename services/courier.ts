/**
 * homing-courier.service: what accompanies mail on its way, as one process, for each process takes 9 MB of its own: to
 * other relays (services/transport), into mailboxes here (services/door), and to sleeping phones (services/metadata). None
 * of them holds a private key or an account's password (services/metadata knows the TURN server's secret); Postfix, Dovecot
 * and one another are all that call them. No others share a process, and this is the only place that knows of several.
 */
import "./door/main.ts";
import "./transport/main.ts";
import "./metadata/main.ts";
import { giveMemoryBack } from "./lib/memory.ts";

giveMemoryBack();
