/** How the two stages of writing a disk are called (write.ts); the wizard tells by them what a stop leaves. Pure. */

export const writingStage = (device: string): string => `Writing to ${device}`;
export const readingStage = "Reading it back";
