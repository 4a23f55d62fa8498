/** Slow hashing of the passcodes of links. */
export interface PasscodeHasher {
  /** A text for the catalog that says by itself how it was made; never the same twice. */
  hash(passcode: string): Promise<string>
  /**
   * True when `hash` was made of `passcode`. As costly for a wrong one as for the right one.
   *
   * @throws E_RATE_LIMIT when too many wait already: asking again later helps; E_INTERNAL when `hash` is not one of ours.
   */
  verify(passcode: string, hash: string): Promise<boolean>
}
