/**
 * The scripts that count what Prometheus shall know of mail on the disk: Postfix' queue every minute, the mailboxes a few
 * times a day. Each runs as the user that owns what it looks at, so that the service which strangers can reach
 * (services/metrics) needs no right to read any of it. Names of files and folders are counted, contents never read.
 */
import { canaryRange } from "../canary.ts";
import { dataPaths, programDirectory, runPaths } from "../layout.ts";

/** Lower bounds of the classes of size that messages are counted in, in bytes. */
const sizeClasses = [0, 102_400, 524_288, 1_048_576, 2_097_152, 5_242_880, 10_485_760];

export const queueFiguresScript = {
  path: `${programDirectory}/queue-figures`,
  mode: 0o755,
  content: `#!/bin/sh
# queue-figures [ROOT]: Postfix' queue by state, as Prometheus reads it, and services/reaper. Called by
# homing-queue-figures.service; ROOT is for tests. The queue manager sets a file's times to the next attempt; when the
# message came is when the file was made.
set -eu
root=\${1:-}
out=$root${runPaths.queueFigures}
cd "$root${dataPaths.postfix}/queue"
# A message may go while it is looked at; before Postfix' first start there is no queue.
find incoming active deferred hold corrupt -type f -printf '%H %b %B@\\n' 2>/dev/null |
  mawk -v now="$(date +%s)" '
    { count[$1]++; blocks[$1] += $2; if ($3 > 0 && (!($1 in oldest) || $3 < oldest[$1])) oldest[$1] = $3 }
    END {
      states = split("incoming active deferred hold corrupt", state)
      print "# HELP homing_mail_queue_messages Messages in Postfix\\047 queue, by what becomes of them."
      print "# TYPE homing_mail_queue_messages gauge"
      for (i = 1; i <= states; i++)
        printf "homing_mail_queue_messages{state=\\"%s\\"} %d\\n", state[i], count[state[i]]
      print "# HELP homing_mail_queue_bytes Room on the disk that they take."
      print "# TYPE homing_mail_queue_bytes gauge"
      for (i = 1; i <= states; i++)
        printf "homing_mail_queue_bytes{state=\\"%s\\"} %.0f\\n", state[i], blocks[state[i]] * 512
      print "# HELP homing_mail_queue_oldest_seconds How long the oldest message of the queue has waited."
      print "# TYPE homing_mail_queue_oldest_seconds gauge"
      for (i = 1; i <= states; i++) {
        age = state[i] in oldest ? now - oldest[state[i]] : 0
        printf "homing_mail_queue_oldest_seconds{state=\\"%s\\"} %d\\n", state[i], age < 0 ? 0 : age
      }
    }' >"$out.new"
chmod 0644 "$out.new"
mv "$out.new" "$out"
`,
} as const;

export const storeFiguresScript = {
  path: `${programDirectory}/store-figures`,
  mode: 0o755,
  content: `#!/bin/sh
# store-figures [ROOT]: messages and room in the mailboxes, as Prometheus reads it. Called by
# homing-store-figures.service; ROOT is for tests.
set -eu
root=\${1:-}
out=$root${runPaths.metrics}/store.prom
cd "$root${dataPaths.mail}"
# A message may go while it is looked at.
find . -mindepth 1 \\( -type d -path './*/*' -o -printf '%y %s %P\\n' \\) 2>/dev/null |
  mawk '
    BEGIN { classes = split("${sizeClasses.join(" ")}", from) }
    # The canary counts nowhere.
    $3 ~ /^(index\\/)?${canaryRange.from}/ { next }
    $1 == "d" { if ($3 != "index") mailboxes++; next }
    $3 ~ /^[^\\/]+\\/mail\\/(\\.[^\\/]+\\/)?(cur|new)\\/[^\\/]+$/ && $3 !~ /^index\\// {
      for (i = classes; $2 < from[i]; i--);
      messages[i]++
      bytes[i] += $2
      next
    }
    { other += $2 }
    END {
      print "# HELP homing_mailboxes Accounts that have a folder for mail."
      print "# TYPE homing_mailboxes gauge"
      printf "homing_mailboxes %d\\n", mailboxes
      print "# HELP homing_stored_messages Messages in mailboxes by size as stored: of at least so many bytes, up to the next."
      print "# TYPE homing_stored_messages gauge"
      for (i = 1; i <= classes; i++) printf "homing_stored_messages{from_bytes=\\"%s\\"} %.0f\\n", from[i], messages[i]
      print "# HELP homing_stored_message_bytes Their room by the same sizes."
      print "# TYPE homing_stored_message_bytes gauge"
      for (i = 1; i <= classes; i++) printf "homing_stored_message_bytes{from_bytes=\\"%s\\"} %.0f\\n", from[i], bytes[i]
      print "# HELP homing_stored_other_bytes Room of what mailboxes have beside messages: indexes and lists."
      print "# TYPE homing_stored_other_bytes gauge"
      printf "homing_stored_other_bytes %.0f\\n", other
    }' >"$out.new"
chmod 0644 "$out.new"
mv "$out.new" "$out"
`,
} as const;
