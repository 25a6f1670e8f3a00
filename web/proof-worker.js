// Solves the puzzle of a busy relay beside the page, so that the page stays usable. Asked and judged by
// services/auth/proof-of-work.ts: for each round a number (base 36), so that SHA-256 (FIPS 180-4) of
// "CHALLENGE.round.number" begins with so many zero bits. 16 rounds of 14 bits are 262 144 hashes in the mean: measured
// 0.25 s of processor time on a server (AMD EPYC, V8 of Node 24; 0.14 to 0.41 s in 40 runs). A phone is four to ten
// times as slow: 1 to 2.5 s.

// The first 32 bits of the fractional parts of the cube roots of the first 64 primes, of the square roots of 8.
const primes = [];
for (let n = 2; primes.length < 64; n++) if (primes.every((prime) => n % prime !== 0)) primes.push(n);
const fraction = (x) => ((x - Math.floor(x)) * 2 ** 32) | 0;
const constants = Int32Array.from(primes, (prime) => fraction(Math.cbrt(prime)));
const initial = Int32Array.from(primes.slice(0, 8), (prime) => fraction(Math.sqrt(prime)));

const words = new Int32Array(64);

// The first 32 bits of the hash of the padded block in the first 16 words.
const firstWord = () => {
  for (let i = 16; i < 64; i++) {
    const x = words[i - 15];
    const y = words[i - 2];
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    words[i] = (words[i - 16] + s0 + words[i - 7] + s1) | 0;
  }
  let [a, b, c, d] = [initial[0], initial[1], initial[2], initial[3]];
  let [e, f, g, h] = [initial[4], initial[5], initial[6], initial[7]];
  for (let i = 0; i < 64; i++) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + constants[i] + words[i]) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  return (a + initial[0]) >>> 0;
};

const mostBytesOfBlock = 55;

const solveRound = (start, bits) => {
  const limit = 2 ** (32 - bits);
  for (let number = 0; ; number++) {
    const text = start + number.toString(36);
    if (text.length > mostBytesOfBlock) throw new RangeError("the puzzle does not fit into a block");
    words.fill(0, 0, 16);
    for (let i = 0; i < text.length; i++) words[i >> 2] |= text.charCodeAt(i) << (24 - 8 * (i & 3));
    words[text.length >> 2] |= 0x80 << (24 - 8 * (text.length & 3));
    words[15] = text.length * 8;
    if (firstWord() < limit) return number.toString(36);
  }
};

self.onmessage = ({ data: { challenge, rounds, bits } }) => {
  const numbers = [];
  for (let round = 0; round < rounds; round++) {
    numbers.push(solveRound(`${challenge}.${round}.`, bits));
    self.postMessage({ solved: numbers.length });
  }
  self.postMessage({ proof: `${challenge}~${numbers.join("-")}` });
};
