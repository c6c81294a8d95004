/**
 * A small cache that evicts the least recently used entries. Uses no DOM.
 * @template T
 */
export class Lru {
  #size;
  #sizeOf;
  #total = 0;
  /** @type {Map<string, T>} */
  #entries = new Map();

  /**
   * @param {number} size how much to keep
   * @param {(value: T) => number} [sizeOf] by default, each entry counts 1
   */
  constructor(size, sizeOf = () => 1) {
    this.#size = size;
    this.#sizeOf = sizeOf;
  }

  /** All entries, the least recently used first. */
  values() {
    return this.#entries.values();
  }

  /**
   * @param {string} key
   * @returns {T|undefined}
   */
  get(key) {
    if (!this.#entries.has(key)) return undefined;
    const value = this.#entries.get(key);
    this.#entries.delete(key);
    this.#entries.set(key, value);
    return value;
  }

  /** @param {string} key */
  delete(key) {
    if (!this.#entries.has(key)) return;
    this.#total -= this.#sizeOf(this.#entries.get(key));
    this.#entries.delete(key);
  }

  /**
   * @param {string} key
   * @param {T} value
   */
  set(key, value) {
    this.delete(key);
    this.#entries.set(key, value);
    this.#total += this.#sizeOf(value);
    while (this.#total > this.#size && this.#entries.size > 1) this.delete(this.#entries.keys().next().value);
    return value;
  }
}
