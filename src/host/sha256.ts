/**
 * SHA-256 where WebCrypto is: Node and secure pages (https, localhost).
 *
 * Interface: sha256(bytes), sha256OfPieces(bytes).
 * Invariants: [sha-1] equal bytes have equal hashes, in Node and in browsers.
 * Locks: none; the bytes must not change until the promise is settled.
 * Why not one digest whatever the size: Node's WebCrypto takes less than 256 MiB at once.
 */
const PIECE_BYTES = 64 * 1024 * 1024;

async function digest(bytes: Uint8Array): Promise<Uint8Array> {
  const subtle = (globalThis.crypto as Crypto | undefined)?.subtle;
  if (!subtle) throw new Error("no WebCrypto here: serve the page over https or from localhost");
  return new Uint8Array(await subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>));
}

function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** SHA-256 as lower-case hex. Throws where the page is not secure: browsers give no WebCrypto there. */
export async function sha256(bytes: Uint8Array): Promise<string> {
  return hex(await digest(bytes));
}

/** SHA-256, as hex, over the digests of the bytes' pieces of 64 MiB; up to that size the plain SHA-256. */
export async function sha256OfPieces(bytes: Uint8Array): Promise<string> {
  if (bytes.length <= PIECE_BYTES) return sha256(bytes);
  const digests: number[] = [];
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) digests.push(...(await digest(bytes.subarray(at, at + PIECE_BYTES))));
  return sha256(new Uint8Array(digests));
}
