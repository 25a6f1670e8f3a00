/**
 * Which services start first while the machine does: those that a login needs, settings and network among them, for it is
 * what somebody waits for who has just switched the relay on. The others follow once Dovecot listens, at a small share of
 * the processors while anybody else wants them; the sockets of our services are there from the beginning, so that whoever
 * comes early waits; only Postfix' ports refuse until it runs. The shares are those of the start alone (systemd.resource-control(5)); afterwards all
 * are alike. Used by the texts of units in this folder.
 */

/** For the After= of what starts later: where people log in. It is ready when it listens (Type=notify). */
export const loginUnit = "dovecot.service";

/** Lines for a [Service] section. A unit without one has 100. */
export const startsFirst = "StartupCPUWeight=500";
export const startsLater = "StartupCPUWeight=20";
