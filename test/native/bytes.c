/** What test/handlers/ffi.ts calls: two ways of a library to give bytes back. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/** Turns ASCII letters to upper case where they are, and returns where that is. */
uint8_t *upper_case(uint8_t *bytes, size_t length) {
  for (size_t at = 0; at < length; at++)
    if (bytes[at] >= 'a' && bytes[at] <= 'z') bytes[at] -= 'a' - 'A';
  return bytes;
}

/** Returns the bytes in reverse order, in memory that the next call uses again; NULL if there is not enough. */
uint8_t *reverse(const uint8_t *bytes, size_t length) {
  static uint8_t *reversed;
  static size_t capacity;
  if (length > capacity) {
    free(reversed);
    reversed = malloc(length);
    capacity = reversed ? length : 0;
    if (!reversed) return NULL;
  }
  for (size_t at = 0; at < length; at++) reversed[at] = bytes[length - 1 - at];
  return reversed;
}
