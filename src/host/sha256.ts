/**
 * SHA-256 where WebCrypto is: Node and secure pages (https, localhost).
 */

/** SHA-256 as lower-case hex. Throws where the page is not secure: browsers give no WebCrypto there. */
export async function sha256(bytes: Uint8Array): Promise<string> {
  const subtle = (globalThis.crypto as Crypto | undefined)?.subtle;
  if (!subtle) throw new Error("no WebCrypto here: serve the page over https or from localhost");
  const digest = await subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>);
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
