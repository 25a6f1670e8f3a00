/** How to write an image without us: the steps of Raspberry Pi Imager, for whoever may not write to disks. Pure. */

/** Lines for a person; the words in quotes are those of Imager 1.8 to 2.0. */
export function imagerSteps(image: string): string[] {
  return [
    "Raspberry Pi Imager (https://www.raspberrypi.com/software/) can write it instead:",
    "  1. Device: your Raspberry Pi, or “No filtering”.",
    "  2. Operating system: all the way down, “Use custom”, and this file:",
    `     ${image}`,
    "  3. Storage: the card. Then “Next”, and “Write”.",
    "  4. Asked for OS customisation: “No”. The image is ready as it is.",
    "  5. Wait until it has written and verified, then take the card out.",
    "Imager 2 also opens the file of that name that ends in .rpi-imager-manifest, and then knows the image.",
  ];
}
