/** The words of the status page at home. What the relay says in detail stays as it says it, in English. */

/** What is wrong, and what to do. */
type Advice = readonly [title: string, mend: string];

export type HomeWords = Readonly<{
  works: string;
  needsYou: string;
  unknown: string;
  /** {{minutes}} and {{seconds}} are filled in. */
  looked: string;
  /** {{minutes}} is filled in. */
  notDelivered: string;
  notLooked: string;
  details: string;
  checked: string;
  addresses: string;
  /** By `about` of a finding; for units and steps of the canary by its first word if there is none of its own. */
  advice: Readonly<Record<string, Advice>>;
  /** What the canary looks at, by the name of its step. */
  steps: Readonly<Record<string, string>>;
  inviteTitle: string;
  inviteText: string;
  pin: string;
  inviteButton: string;
  invited: string;
  invitedOnce: string;
  closed: string;
  wrongPin: string;
  /** {{minutes}} is filled in. */
  tooMany: string;
  listFull: string;
  failed: string;
  qrLabel: string;
  back: string;
}>;

const en: HomeWords = {
  works: "Your relay works",
  needsYou: "Your relay needs you",
  unknown: "Nothing is known of your relay yet. Look again in a minute.",
  looked: "{{minutes}} min ago it sent itself a message: {{seconds}} s.",
  notDelivered: "{{minutes}} min ago it could not send itself a message.",
  notLooked: "It has just started and has not tried to send a message yet.",
  details: "What the relay says",
  checked: "What works",
  addresses: "Addresses in your network",
  advice: {
    settings: [
      "It cannot begin",
      "Mail is off. Correct the folder “relay” on the card, or write the card anew.",
    ],
    network: ["It has no network", "Is the cable plugged in, or the Wi-Fi in reach?"],
    wifi: ["It is not in your Wi-Fi", "Compare name and password with those in your relay folder."],
    "disk-full": [
      "The disk is full",
      "Mail waits elsewhere. A larger card with a copy of this one is taken as it is.",
    ],
    "disk-nearly-full": ["The disk is nearly full", "No new profiles until there is more room."],
    "disk-read-only": [
      "The disk has an error",
      "Switch the relay off and on, and copy the card to a new one.",
    ],
    "disk-repaired": [
      "The disk was repaired",
      "Some mail may be missing. If it happens again, copy the card to a new one.",
    ],
    import: ["New settings were not taken over", "Correct the folder “relay” on the card and start again."],
    certificate: ["It has no valid certificate", "Until it has one, Delta Chat does not connect."],
    metadata: ["It cannot remember whom to wake", "Mail goes on, but some phones may hear of it late."],
    turn: ["It cannot help with calls", "Mail goes on. What it says below tells which ports to forward."],
    unit: ["A part of it does not run", "It tries again by itself. If this stays, switch it off and on."],
    "reaper-old": ["It deletes no old mail any more", "Switch it off and on, before the disk is full."],
    "reaper-failed": [
      "It could not delete all old mail",
      "It tries again by itself. What it says below tells more.",
    ],
    "canary-old": ["It does not test itself any more", "Switch it off and on."],
    canary: ["It found something wrong with itself", "What it says below tells more."],
    "canary login": ["Nobody can log in", "It tries again by itself. If this stays, switch it off and on."],
    "canary submission": [
      "Nobody can send",
      "It tries again by itself. If this stays, switch it off and on.",
    ],
    "canary delivery": ["Messages do not arrive", "If this stays, switch it off and on."],
    "canary port-443": ["Port 443 does not answer", "If this stays, switch it off and on."],
    "canary certificate": ["Its certificate is not right", "Until it is, Delta Chat does not connect."],
    "canary dns": [
      "Your DNS does not lead here",
      "Run “./homing dns check” on your computer: it says what to change.",
    ],
    "canary clock": [
      "Its clock may be wrong",
      "Let it reach a time server: UDP port 123 out of your network.",
    ],
    "canary disk": ["The disk needs you", "What it says below tells more."],
  },
  steps: {
    login: "logging in",
    submission: "sending",
    delivery: "receiving",
    content: "encryption",
    removal: "deleting",
    "port-443": "port 443",
    certificate: "certificate",
    dns: "DNS",
    clock: "clock",
    disk: "disk",
  },
  inviteTitle: "Invite somebody",
  inviteText: "The PIN is on the screen that is plugged into your relay, or on its serial line.",
  pin: "PIN",
  inviteButton: "Show the code",
  invited: "Let the other one scan this code with Delta Chat or a camera.",
  invitedOnce: "It is good for one profile and for a day, and is shown only now.",
  closed: "Sign-up is closed: nobody can get a profile now.",
  wrongPin: "That is not the PIN.",
  tooMany: "Too many wrong PINs. Try again in {{minutes}} min.",
  listFull:
    "There are too many invitations already. Whoever runs the relay can withdraw some (homing-ctl invite revoke).",
  failed: "That did not work just now. Try again in a minute.",
  qrLabel: "QR code for a new profile",
  back: "Back",
};

const de: HomeWords = {
  works: "Dein Relay läuft",
  needsYou: "Dein Relay braucht dich",
  unknown: "Über dein Relay ist noch nichts bekannt. Sieh in einer Minute noch einmal nach.",
  looked: "Vor {{minutes}} min hat es sich selbst eine Nachricht geschickt: {{seconds}} s.",
  notDelivered: "Vor {{minutes}} min konnte es sich keine Nachricht schicken.",
  notLooked: "Es ist gerade erst gestartet und hat noch keine Nachricht verschickt.",
  details: "Was das Relay sagt (englisch)",
  checked: "Was geht",
  addresses: "Adressen in deinem Netz",
  advice: {
    settings: [
      "Es kann nicht anfangen",
      "Mail ist aus. Berichtige den Ordner „relay“ auf der Karte oder schreib sie neu.",
    ],
    network: ["Es hat kein Netz", "Steckt das Kabel, ist das WLAN in Reichweite?"],
    wifi: ["Es ist nicht in deinem WLAN", "Vergleiche Namen und Passwort mit denen in deinem Relay-Ordner."],
    "disk-full": [
      "Der Speicher ist voll",
      "Mail wartet anderswo. Eine größere Karte mit einer Kopie wird genommen, wie sie ist.",
    ],
    "disk-nearly-full": ["Der Speicher ist fast voll", "Bis wieder Platz ist, gibt es keine neuen Profile."],
    "disk-read-only": [
      "Der Speicher hat einen Fehler",
      "Schalte das Relay aus und ein und kopiere die Karte auf eine neue.",
    ],
    "disk-repaired": [
      "Der Speicher wurde repariert",
      "Etwas Mail kann fehlen. Kommt es wieder vor, kopiere die Karte auf eine neue.",
    ],
    import: [
      "Neue Einstellungen wurden nicht übernommen",
      "Berichtige den Ordner „relay“ auf der Karte und starte neu.",
    ],
    certificate: ["Es hat kein gültiges Zertifikat", "Bis es eins hat, verbindet sich Delta Chat nicht."],
    metadata: [
      "Es kann sich nicht merken, wen es wecken soll",
      "Mail geht weiter, aber manche Telefone merken es vielleicht erst spät.",
    ],
    turn: ["Bei Anrufen kann es nicht helfen", "Die Post läuft. Welche Ports freizugeben sind, steht unten."],
    unit: [
      "Ein Teil davon läuft nicht",
      "Es versucht es von selbst wieder. Bleibt es so, schalte es aus und ein.",
    ],
    "reaper-old": ["Es löscht keine alte Mail mehr", "Schalte es aus und ein, ehe der Speicher voll ist."],
    "reaper-failed": [
      "Es konnte nicht alle alte Mail löschen",
      "Es versucht es von selbst wieder. Was es unten sagt, hilft weiter.",
    ],
    "canary-old": ["Es prüft sich nicht mehr selbst", "Schalte es aus und ein."],
    canary: ["Es hat an sich einen Fehler gefunden", "Was es unten sagt, hilft weiter."],
    "canary login": [
      "Niemand kann sich anmelden",
      "Es versucht es von selbst wieder. Bleibt es so, schalte es aus und ein.",
    ],
    "canary submission": [
      "Niemand kann senden",
      "Es versucht es von selbst wieder. Bleibt es so, schalte es aus und ein.",
    ],
    "canary delivery": ["Nachrichten kommen nicht an", "Bleibt es so, schalte es aus und ein."],
    "canary port-443": ["Port 443 antwortet nicht", "Bleibt es so, schalte es aus und ein."],
    "canary certificate": ["Sein Zertifikat stimmt nicht", "Bis es stimmt, verbindet sich Delta Chat nicht."],
    "canary dns": [
      "Dein DNS führt nicht hierher",
      "„./homing dns check“ auf deinem Rechner sagt, was zu ändern ist.",
    ],
    "canary clock": [
      "Seine Uhr geht vielleicht falsch",
      "Lass es einen Zeitserver erreichen: UDP-Port 123 aus deinem Netz hinaus.",
    ],
    "canary disk": ["Der Speicher braucht dich", "Was es unten sagt, hilft weiter."],
  },
  steps: {
    login: "Anmelden",
    submission: "Senden",
    delivery: "Empfangen",
    content: "Verschlüsselung",
    removal: "Löschen",
    "port-443": "Port 443",
    certificate: "Zertifikat",
    dns: "DNS",
    clock: "Uhr",
    disk: "Speicher",
  },
  inviteTitle: "Jemanden einladen",
  inviteText:
    "Die PIN steht auf dem Bildschirm, der an deinem Relay steckt, oder auf seiner seriellen Leitung.",
  pin: "PIN",
  inviteButton: "Code zeigen",
  invited: "Lass diesen Code mit Delta Chat oder einer Kamera scannen.",
  invitedOnce: "Er gilt für ein Profil und einen Tag und wird nur jetzt gezeigt.",
  closed: "Die Anmeldung ist geschlossen: Zurzeit bekommt niemand ein Profil.",
  wrongPin: "Das ist nicht die PIN.",
  tooMany: "Zu viele falsche PINs. Versuch es in {{minutes}} min noch einmal.",
  listFull:
    "Es gibt schon zu viele Einladungen. Wer das Relay betreibt, kann welche zurückziehen (homing-ctl invite revoke).",
  failed: "Das ging gerade nicht. Versuch es in einer Minute noch einmal.",
  qrLabel: "QR-Code für ein neues Profil",
  back: "Zurück",
};

/** English first: for whoever wants neither. */
export const homeWords: Readonly<Record<string, HomeWords>> = { en, de };
