/**
 * What mail server and milter agree on at the start of a connection (SMFIC_OPTNEG). We ask for what we need and
 * take what is offered: a peer may be as old as version 2. What a message then needs and the peer cannot do is
 * found by session.ts, which defers that message. Source of the numbers: libmilter's mfapi.h and mfdef.h.
 */
import { encodePacket, MilterProtocolError } from "./protocol.ts";

/** Version 6 is libmilter's since Sendmail 8.14 and Postfix's default (milter_protocol). */
const NEWEST_VERSION = 6;
/** Version 2 came with Sendmail 8.10; nothing older can be met. */
const OLDEST_VERSION = 2;
/** SMFIR_INSHEADER came with Sendmail 8.13, still under version 2: who says 2 may not know it. */
const INSERTS_SINCE_VERSION = 3;

/** What a milter may ask to do at the end of a message (SMFIF_*). */
const action = { addHeaders: 0x01, changeHeaders: 0x10, changeSender: 0x40 } as const;

/** What the mail server need not send, need not wait for, or can do besides (SMFIP_*). */
const step = {
  noHelo: 0x2,
  noUnknown: 0x100,
  noData: 0x200,
  skip: 0x400,
  noReplyToHeader: 0x80,
  noReplyToConnect: 0x1000,
  noReplyToRecipient: 0x8000,
  headerLeadingSpace: 0x100000,
} as const;

const wantedActions = Object.values(action).reduce((all, bit) => all | bit, 0);
const wantedSteps = Object.values(step).reduce((all, bit) => all | bit, 0);

/** The bits that had a meaning in each version; what else an old peer sets means nothing. */
function knownBits(version: number): { actions: number; steps: number } {
  if (version === 2) return { actions: 0x3f, steps: 0x7f };
  if (version === 3) return { actions: 0x3f, steps: 0x17f };
  if (version < 6) return { actions: 0x3f, steps: 0x37f };
  return { actions: -1, steps: -1 };
}

/** What both sides agreed on. */
export type Negotiated = Readonly<{
  /** Commands the mail server awaits an answer to, beside those that always have one. */
  replyTo: Readonly<{ connect: boolean; recipient: boolean; header: boolean }>;
  /** A piece of the body may be answered by "no more of it". */
  skip: boolean;
  /** Header values are sent and taken with the white space after the colon. */
  headerLeadingSpace: boolean;
  /** What the mail server lets us change. */
  may: Readonly<{
    addHeaders: boolean;
    insertHeaders: boolean;
    changeHeaders: boolean;
    changeSender: boolean;
  }>;
}>;

/** SMFIC_OPTNEG: u32 version | u32 actions | u32 steps. Throws MilterProtocolError. */
export function negotiate(data: Buffer): { answer: Buffer; agreed: Negotiated } {
  if (data.length < 12) throw new MilterProtocolError("the option negotiation is too short");
  const theirs = data.readUInt32BE(0);
  if (theirs < OLDEST_VERSION) {
    throw new MilterProtocolError(
      `the mail server speaks version ${theirs}, needed is ${OLDEST_VERSION} or newer`,
    );
  }
  const version = Math.min(theirs, NEWEST_VERSION);
  const known = knownBits(version);
  const actions = data.readUInt32BE(4) & wantedActions & known.actions;
  const steps = data.readUInt32BE(8) & wantedSteps & known.steps;
  const answer = Buffer.alloc(12);
  answer.writeUInt32BE(version, 0);
  answer.writeUInt32BE(actions, 4);
  answer.writeUInt32BE(steps, 8);
  const may = (bit: number): boolean => (actions & bit) !== 0;
  const agreed = (bit: number): boolean => (steps & bit) !== 0;
  return {
    answer: encodePacket("O", answer),
    agreed: {
      replyTo: {
        connect: !agreed(step.noReplyToConnect),
        recipient: !agreed(step.noReplyToRecipient),
        header: !agreed(step.noReplyToHeader),
      },
      skip: agreed(step.skip),
      headerLeadingSpace: agreed(step.headerLeadingSpace),
      may: {
        addHeaders: may(action.addHeaders),
        insertHeaders: may(action.addHeaders) && version >= INSERTS_SINCE_VERSION,
        changeHeaders: may(action.changeHeaders),
        changeSender: may(action.changeSender),
      },
    },
  };
}
