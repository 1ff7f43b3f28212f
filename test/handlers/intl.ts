/** What Intl says in each of the locales of an event: as text, or why it does not. */
import { json, run } from "../../runtime.ts";

const times = [0, 951_782_400_000, 1_721_055_845_678];
const numbers = [0, 1, 2, 5, 21, -1_234_567.891];
const words = [
  "z",
  "ä",
  "a",
  "Å",
  "ö",
  "ch",
  "c",
  "d",
  "ñ",
  "n",
  "ll",
  "ß",
  "ss",
  "é",
  "I",
  "i",
  "ı",
  "10",
  "9",
  "-",
  "я",
  "ё",
  "א",
  "ب",
  "中",
  "文",
  "あ",
  "ア",
  "가",
  "ส",
];
const text = "The quick (“brown”) fox can't jump 32.3 feet, right? Dr. Who.";

const numberFormats: Intl.NumberFormatOptions[] = [
  {},
  { style: "percent" },
  { style: "currency", currency: "EUR" },
  { style: "currency", currency: "USD", currencyDisplay: "name" },
  { style: "unit", unit: "kilometer-per-hour", unitDisplay: "long" },
  { notation: "compact", compactDisplay: "long" },
];

const dateFormats: Intl.DateTimeFormatOptions[] = [
  {},
  { dateStyle: "full", timeStyle: "full", timeZone: "America/New_York" },
  { dateStyle: "short", timeStyle: "short", timeZone: "Europe/Vienna" },
  { timeZoneName: "longGeneric", timeZone: "Asia/Tokyo" },
  { era: "long", year: "numeric", month: "long", weekday: "short" },
  { dayPeriod: "long", hour: "numeric" },
  { calendar: "japanese", dateStyle: "full" },
  { calendar: "hebrew", dateStyle: "medium" },
  { calendar: "chinese", dateStyle: "long" },
];

const names: [Intl.DisplayNamesType, string[]][] = [
  ["language", ["en", "de", "zh-Hant", "es-419"]],
  ["region", ["US", "JP", "419"]],
  ["script", ["Latn", "Hans"]],
  ["currency", ["EUR", "JPY"]],
  ["calendar", ["gregory"]],
  ["dateTimeField", ["month", "timeZoneName"]],
];

/** By the constructor, what its objects say in a locale. */
const speakers: Record<string, (locale: string) => unknown> = {
  NumberFormat: (locale) =>
    numberFormats.map((options) => {
      const format = new Intl.NumberFormat(locale, options);
      return [numbers.map((number) => format.format(number)), format.formatToParts(1234.5), format.resolvedOptions()];
    }),
  DateTimeFormat: (locale) =>
    dateFormats.map((options) => {
      const format = new Intl.DateTimeFormat(locale, { timeZone: "UTC", ...options });
      return [times.map((time) => format.format(time)), format.formatRange(0, 1e10), format.resolvedOptions()];
    }),
  RelativeTimeFormat: (locale) => {
    const format = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });
    return (["second", "day", "week", "month", "year"] as const).map((unit) =>
      numbers.map((number) => format.format(number, unit)),
    );
  },
  DurationFormat: (locale) =>
    (["long", "narrow"] as const).map((style) =>
      new Intl.DurationFormat(locale, { style }).format({ days: 3, hours: 4, minutes: 1 }),
    ),
  ListFormat: (locale) =>
    (["conjunction", "disjunction", "unit"] as const).map((type) =>
      new Intl.ListFormat(locale, { type }).format(["a", "b", "c"]),
    ),
  PluralRules: (locale) =>
    (["cardinal", "ordinal"] as const).map((type) => {
      const rules = new Intl.PluralRules(locale, { type });
      return [numbers.map((number) => rules.select(number)), rules.resolvedOptions()];
    }),
  DisplayNames: (locale) =>
    names.map(([type, codes]) => codes.map((code) => new Intl.DisplayNames(locale, { type }).of(code))),
  Collator: (locale) =>
    ["", "-u-co-phonebk", "-u-co-pinyin", "-u-kn-kf-upper", "-u-co-search"].map((extension) => {
      const collator = new Intl.Collator(locale + extension);
      return [words.toSorted(collator.compare), collator.resolvedOptions()];
    }),
  Segmenter: (locale) => {
    const day = new Intl.DateTimeFormat(locale, { dateStyle: "full", timeStyle: "full", timeZone: "UTC" }).format(0);
    return (["word", "sentence", "grapheme"] as const).map((granularity) =>
      [...new Intl.Segmenter(locale, { granularity }).segment(`${day}. ${text}`)].map(({ segment }) => segment),
    );
  },
  Locale: (locale) => {
    const about = new Intl.Locale(locale);
    return [
      about.maximize(),
      about.minimize(),
      about.getWeekInfo(),
      about.getTextInfo(),
      about.getHourCycles(),
      about.getCollations(),
    ];
  },
  methods: (locale) => [
    123_456_789n.toLocaleString(locale),
    new Date(0).toLocaleString(locale, { timeZone: "UTC" }),
    ["ıi ß", "ΑΣ Ά"].map((word) => [word.toLocaleUpperCase(locale), word.toLocaleLowerCase(locale)]),
  ],
};

/** What is of no locale. */
const unlocalized = () => [
  new Date(0).toString(),
  new Date(0).toLocaleString(),
  (1234.5).toLocaleString(),
  Intl.supportedValuesOf("timeZone").length,
  Intl.supportedValuesOf("currency").length,
  ["NFC", "NFD", "NFKC", "NFKD"].map((form) => "ﬁ Å é ｶﾞ 각".normalize(form)),
  new URL("http://bücher.example/").host,
  "aбעあ中٣😀".replaceAll(/\p{Script=Cyrillic}|\p{Script=Hebrew}|\p{Nd}|\p{Emoji}|\p{Script=Han}/gu, "_"),
];

const attempt = (speak: (locale: string) => unknown, locale: string): unknown => {
  try {
    return speak(locale);
  } catch (error) {
    return `failed: ${error}`;
  }
};

run(
  json(({ locales }: { locales: string[] }) => ({
    supported: Intl.NumberFormat.supportedLocalesOf(locales),
    unlocalized: unlocalized(),
    said: Object.fromEntries(
      locales.map((locale) => [
        locale,
        Object.fromEntries(Object.entries(speakers).map(([name, speak]) => [name, attempt(speak, locale)])),
      ]),
    ),
  })),
);
