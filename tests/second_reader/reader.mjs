// A second reader of vaults, written from docs/format.md alone. It shares no line with ironsecrets, reads everything it
// opens under the rules of that page, and stops at the first thing that does not hold.
//
//     node reader.mjs VAULT passphrase|master-key|recovery-key CREDENTIAL
//
// A passphrase as text, keys as hex. Prints JSON: the log's size and root, and the value of every sealed record.

import crypto from "node:crypto";
import { DatabaseSync } from "node:sqlite";

const SUITE = "AES256GCM-HKDFSHA256-ARGON2ID-ED25519";
const [, , file, kind, credential] = process.argv;

function must(holds, what) {
  if (!holds) {
    console.error(`does not hold: ${what}`);
    process.exit(5);
  }
}

function LP(...parts) {
  return Buffer.concat(
    parts.map((part) => {
      let raw = part;
      if (typeof part === "string") raw = Buffer.from(part, "utf8");
      if (typeof part === "number") {
        raw = Buffer.alloc(8);
        raw.writeBigUInt64BE(BigInt(part));
      }
      const length = Buffer.alloc(4);
      length.writeUInt32BE(raw.length);
      return Buffer.concat([length, raw]);
    }),
  );
}

const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), crypto.createHash("sha256")).digest();
const hmac = (key, ...parts) => parts.reduce((mac, part) => mac.update(part), crypto.createHmac("sha256", key)).digest();
const hkdf = (key, salt, info, size) => Buffer.from(crypto.hkdfSync("sha256", key, salt, info, size));
const base64 = (text) => Buffer.from(text, "base64");
const same = (one, other) => one.length === other.length && crypto.timingSafeEqual(one, other);

function expand(key, info, size) {
  const blocks = [];
  for (let n = 1, last = Buffer.alloc(0); blocks.length * 32 < size; n++) {
    last = hmac(key, last, info, Buffer.from([n]));
    blocks.push(last);
  }
  return Buffer.concat(blocks).subarray(0, size);
}

function gcm(key, nonce, sealed, associated, what) {
  const cipher = crypto.createDecipheriv("aes-256-gcm", key, nonce);
  cipher.setAAD(associated);
  cipher.setAuthTag(sealed.subarray(sealed.length - 16));
  const open = cipher.update(sealed.subarray(0, sealed.length - 16));
  try {
    return Buffer.concat([open, cipher.final()]);
  } catch {
    return must(false, what);
  }
}

function unseal(key, context, sealed, what) {
  const salt = sealed.subarray(0, 24);
  const material = expand(key, LP("ironsecrets/v1/seal", SUITE, salt, context), 76);
  must(same(material.subarray(44), sealed.subarray(24, 56)), `the commitment of ${what}`);
  return gcm(material.subarray(0, 32), material.subarray(32, 44), sealed.subarray(56), context, what);
}

// Canonical JSON: keys sorted, no white space.
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const keys = Object.keys(value).sort();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join(",")}}`;
}

function decoded(raw, what) {
  const value = JSON.parse(raw.toString("utf8"));
  must(canonical(value) === raw.toString("utf8"), `${what} is canonical`);
  return value;
}

const database = new DatabaseSync(file, { readOnly: true });
const rows = (sql) => database.prepare(sql).all();
const bytes = (column) => Buffer.from(column);
must(rows("PRAGMA application_id")[0].application_id === 0x49524e53, "the application id");

// The header, and the slot that the credential opens.
const [stored] = rows("SELECT body, mac FROM header");
const header = decoded(bytes(stored.body), "the header");
const vault = header.vault;
must(header.format === 1 && header.suite === SUITE, "the format and the suite");

function slotKey(slot) {
  if (slot.kind !== "passphrase") return Buffer.from(credential, "hex");
  const { memory, passes, lanes, salt } = slot.cost;
  return crypto.argon2Sync("argon2id", {
    message: Buffer.from(credential, "utf8"),
    nonce: base64(salt),
    parallelism: lanes,
    tagLength: 32,
    memory,
    passes,
  });
}

let root = null;
for (const slot of header.slots.filter((one) => one.kind === kind)) {
  const info = LP("ironsecrets/v1/slot", SUITE, slot.id, slot.kind, canonical(slot.cost));
  const material = hkdf(slotKey(slot), vault, info, 64);
  if (!same(material.subarray(32), base64(slot.commitment))) continue;
  const context = LP("ironsecrets/v1/root-key", SUITE, vault, slot.id);
  root = gcm(material.subarray(0, 32), base64(slot.nonce), base64(slot.wrapped), context, "the root key");
}
must(root !== null, "a slot that opens with that");

const derived = (parent, label) => hkdf(parent, vault, LP(`ironsecrets/v1/${label}`, SUITE), 32);
must(
  same(hmac(derived(root, "header-mac"), LP("ironsecrets/v1/header", SUITE, bytes(stored.body))), bytes(stored.mac)),
  "the header's MAC",
);
const logContext = LP("ironsecrets/v1/log-key", SUITE, vault);
const logKey = unseal(derived(root, "log-key-wrapping"), logContext, base64(header.log_key), "the log key");
const epochs = new Map(
  header.epochs.map((epoch) => {
    const context = LP("ironsecrets/v1/epoch-key", SUITE, vault, epoch.number);
    return [epoch.number, unseal(derived(root, "epoch-wrapping"), context, base64(epoch.wrapped), "an epoch's key")];
  }),
);

// The signing key must be the private half of the public key in the header.
const signingContext = LP("ironsecrets/v1/signing-key", SUITE, vault);
const seed = unseal(derived(root, "signing-key-wrapping"), signingContext, base64(header.signing_key), "the signing key");
const pkcs8 = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), seed]);
const signing = crypto.createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" });
const spki = crypto.createPublicKey(signing).export({ format: "der", type: "spki" });
must(same(spki.subarray(spki.length - 32), base64(header.audit_key)), "the audit key");

// The log: every entry opens at its place, has its request's tag, and is a leaf of the tree that the head states.
const stack = [];
const versions = new Map();
let size = 0;
let headerDigest = null;
for (const { seq, request, sealed } of rows("SELECT seq, request, sealed FROM entries ORDER BY seq")) {
  must(seq === size, "the order of entries");
  const context = LP("ironsecrets/v1/entry", SUITE, vault, seq);
  const raw = unseal(derived(logKey, "entries"), context, bytes(sealed), `entry ${seq}`);
  const entry = decoded(raw, `entry ${seq}`);
  must(entry.seq === seq && entry.v === 1, `the number of entry ${seq}`);
  const tag = hmac(derived(logKey, "requests"), entry.request).subarray(0, 16);
  must(same(tag, bytes(request)), `the request of entry ${seq}`);
  let node = sha256(Buffer.from([0]), raw);
  for (let rest = size; rest & 1; rest >>= 1) node = sha256(Buffer.from([1]), stack.pop(), node);
  stack.push(node);
  size += 1;
  const { command, verdict } = entry;
  if (verdict !== "applied") continue;
  if (command.header !== undefined) headerDigest = command.header;
  if (command.digest !== undefined && command.secret !== undefined) {
    versions.set(`${command.secret}/${command.version}`, command);
  }
}
must(
  headerDigest === sha256(LP("ironsecrets/v1/header-digest", bytes(stored.body))).toString("hex"),
  "the header is the one that the log knows",
);
const head = bytes(rows("SELECT body FROM head")[0].body);
const stated = decoded(head.subarray(32), "the head");
must(
  same(hmac(derived(logKey, "log-mac"), LP("ironsecrets/v1/head", SUITE, vault, head.subarray(32))), head.subarray(0, 32)),
  "the head's MAC",
);
must(stated.size === size, "the log's size");
must(stated.frontier.join() === stack.map((node) => node.toString("hex")).join(), "the log's frontier");
const top = stack.reduceRight((right, left) => (right === null ? left : sha256(Buffer.from([1]), left, right)), null);

for (const { sealed } of rows("SELECT sealed FROM snapshot")) {
  const raw = unseal(
    derived(logKey, "snapshots"),
    LP("ironsecrets/v1/snapshot", SUITE, vault),
    bytes(sealed),
    "the snapshot",
  );
  must(decoded(raw, "the snapshot").vault === vault, "the snapshot's vault");
}

// Every sealed record opens, and is the one whose digest the log holds.
const values = [];
for (const { secret, version, epoch, wrap, body } of rows("SELECT * FROM records ORDER BY secret, version")) {
  const known = versions.get(`${secret}/${version}`);
  must(known !== undefined, "a record that the log knows");
  const digest = sha256(LP("ironsecrets/v1/record", secret, version, bytes(body))).toString("hex");
  must(known.digest === digest, `the digest of ${known.name}`);
  const dek = unseal(
    epochs.get(epoch),
    LP("ironsecrets/v1/dek", SUITE, vault, secret, version, epoch),
    bytes(wrap),
    `the DEK of ${known.name}`,
  );
  const associated = LP("ironsecrets/v1/value", SUITE, vault, secret, version);
  const value = gcm(dek, bytes(body).subarray(0, 12), bytes(body).subarray(12), associated, `the value of ${known.name}`);
  values.push({ environment: known.environment, name: known.name, version, value: value.toString("hex") });
}
console.log(JSON.stringify({ size, root: top.toString("hex"), vault, values }));
