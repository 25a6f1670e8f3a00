"""What a relay in Python does for a login, without any protocol: SHA512-crypt with its 5000 rounds, and one
committed insert into SQLite for a new account. One thread a core; hashing and SQLite let go of the interpreter
lock. Called by accounts.ts: DATABASE create|check SECONDS; prints operations, seconds, seconds of CPU.
"""

import base64
import ctypes
import ctypes.util
import os
import sqlite3
import sys
import threading
import time

libcrypt = ctypes.CDLL(ctypes.util.find_library("crypt"))
# crypt_r(3) works in memory of the caller; struct crypt_data of libxcrypt has 32768 bytes.
libcrypt.crypt_r.restype = ctypes.c_char_p
libcrypt.crypt_r.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p]


def new_hash(password, room):
    salt = base64.b64encode(os.urandom(12), b"./")
    return libcrypt.crypt_r(password, b"$6$" + salt, room)


def work(path, what, end, done, number):
    room = ctypes.create_string_buffer(32768)
    database = sqlite3.connect(path, timeout=60, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE IF NOT EXISTS users (addr TEXT PRIMARY KEY, password TEXT, last_login INTEGER)")
    stored = new_hash(b"password-of-somebody", room)
    while time.monotonic() < end:
        if what == "create":
            password = new_hash(b"password-of-somebody", room).decode()
            name = base64.b16encode(os.urandom(8)).decode()
            database.execute("BEGIN IMMEDIATE")
            database.execute("INSERT INTO users VALUES (?, ?, ?)", (name, password, int(time.time())))
            database.execute("COMMIT")
        elif libcrypt.crypt_r(b"password-of-somebody", stored, room) != stored:
            raise ValueError("the right password was refused")
        done[number] += 1


def main():
    path, what, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    cores = len(os.sched_getaffinity(0))
    done = [0] * cores
    start = time.monotonic()
    threads = [
        threading.Thread(target=work, args=(path, what, start + seconds, done, number)) for number in range(cores)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(sum(done), time.monotonic() - start, time.process_time())


main()
