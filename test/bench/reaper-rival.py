"""The same daily work in Python, the plain way: walk all mailboxes, look at each message's age and size, remove the old.
Called by reaper.ts: FOLDER dry|wet; prints what it removed and what it cost, as JSON. It asks nobody for accounts.
"""

import json
import os
import resource
import sys
import time

folder, kind = sys.argv[1:]
day = 86_400
now = time.time()
removed = 0
for account in os.scandir(os.path.join(folder, "mail")):
    if "@" not in account.name:
        continue
    for place, _, names in os.walk(os.path.join(account.path, "mail")):
        if os.path.basename(place) not in ("cur", "new"):
            continue
        for name in names:
            path = os.path.join(place, name)
            status = os.stat(path)
            age = now - status.st_mtime
            if age > 20 * day or (age > 7 * day and status.st_size > 200_000):
                removed += 1
                if kind == "wet":
                    os.unlink(path)
# Of this program: getrusage(2) counts what the process was before exec(2).
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
usage = resource.getrusage(resource.RUSAGE_SELF)
print(
    json.dumps(
        {
            "removed": removed,
            "failures": 0,
            "cpu": usage.ru_utime + usage.ru_stime,
            "memory": peak / 1024,
        }
    )
)
