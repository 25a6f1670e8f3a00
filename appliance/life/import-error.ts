/** The relay folder on the boot partition cannot be taken over. The text names the file and the mend. */
export class ImportError extends Error {
  override name = "ImportError";
}
