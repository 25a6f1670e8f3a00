/** What deSEC gives away, and to whom. Apart from desec-account.ts, for the wizard's first screen loads no provider. */

/** The zone below which deSEC gives names away, each one label below it. */
export const FREE_SUFFIX = "dedyn.io";

/** Characters of a new account's password; deSEC's own demand is that of NIST SP 800-63B §5.1.1.1. */
export const MIN_PASSWORD_LENGTH = 8;
