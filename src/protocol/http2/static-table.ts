/** Fields of RFC 7541, appendix A, that have a value, in order. */
const WITH_VALUES = [
  ':authority',
  '',
  ':method',
  'GET',
  ':method',
  'POST',
  ':path',
  '/',
  ':path',
  '/index.html',
  ':scheme',
  'http',
  ':scheme',
  'https',
  ':status',
  '200',
  ':status',
  '204',
  ':status',
  '206',
  ':status',
  '304',
  ':status',
  '400',
  ':status',
  '404',
  ':status',
  '500',
  'accept-charset',
  '',
  'accept-encoding',
  'gzip, deflate',
] as const;

/** The names that follow them, without a value. */
const NAMES =
  'accept-language accept-ranges accept access-control-allow-origin age allow authorization cache-control content-disposition content-encoding content-language content-length content-location content-range content-type cookie date etag expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified link location max-forwards proxy-authenticate proxy-authorization range referer refresh retry-after server set-cookie strict-transport-security transfer-encoding user-agent vary via www-authenticate';

/** The static table: names and values in turn. The field at index `i` has its name at `2 * (i - 1)`. */
export const STATIC_TABLE: readonly string[] = [...WITH_VALUES, ...NAMES.split(' ').flatMap((name) => [name, ''])];

/** How many fields it has: the dynamic table begins after them. */
export const STATIC_LENGTH = STATIC_TABLE.length / 2;
