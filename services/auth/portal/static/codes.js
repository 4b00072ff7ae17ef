// The code that a person meant, out of what stands in a field. The API itself reads ASCII digits only.
// portal/typed_codes.py has the same rule for forms without scripts; tests/support/typed_codes.json holds both to it.

const DIGITS = 6;
// What people type or paste as a dash or a blank, though Unicode does not list it as one; see domain/typed.py.
const DASH = /[\p{Pd}\u2212\u2043\u02d7\u30fc]/u;
const BLANK = /[\p{Z}\p{Cc}\u2800\u115f\u1160]/u;
// Digits with nothing but blanks and dashes between them.
const GROUP = /[0-9](?:[ -]*[0-9])*/g;
const PARTING = /[ -]+/g;
// Crockford's base32 without U, and with the look-alikes O, I and L, which otp reads. The first character is a digit.
const BACKUP_CODE = /^[0-9OILoil][0-9A-TV-Za-tv-z]{15}$/;
const SIX_ALONE = /(?:^|[ -])[0-9]{6}(?:$|[ -])/;
const LATIN = /[A-Za-z]/;

/** The text with ASCII digits, one kind of dash and one kind of blank, and without invisible characters. */
function plain(text) {
  return [...text.normalize("NFKC")].map((character) => {
    if (/\p{Nd}/u.test(character)) return String(decimal(character));
    if (/[\p{Cf}\p{M}]/u.test(character)) return "";
    if (BLANK.test(character)) return " ";
    return DASH.test(character) ? "-" : character;
  }).join("");
}

/** Unicode lists each script's decimal digits in a row, from 0 to 9. So the digits before this one count its value. */
function decimal(character) {
  let before = 0;
  while (/\p{Nd}/u.test(String.fromCodePoint(character.codePointAt(0) - before - 1))) before++;
  return before % 10;
}

/**
 * `{code}`: six ASCII digits, or a backup code as it stands on the sheet. Else `{cause}`, because nothing is guessed:
 * "several" for a text with more than one possible code, "digits" for one group of digits that are not six, or null.
 */
export function readCode(text) {
  const read = plain(text), backupCode = read.replace(PARTING, ""), isBackupCode = BACKUP_CODE.test(backupCode);
  if (isBackupCode && !SIX_ALONE.test(read)) return { code: backupCode.match(/.{4}/g).join("-").toUpperCase() };
  const groups = [...read.matchAll(GROUP)].filter((found) => !isGlued(read, found)).map(([group]) => group);
  const codes = new Set(groups.flatMap(codesIn));
  if (codes.size === 1 && !isBackupCode) return { code: [...codes][0] };
  if (codes.size) return { cause: "several" };
  return { cause: groups.length === 1 ? "digits" : null };
}

/** Whether a Latin letter touches the digits, as in a backup code. Chinese and Japanese write no blank there. */
const isGlued = (text, { index, 0: group }) => LATIN.test((text[index - 1] ?? "") + (text[index + group.length] ?? ""));

/** The passcodes that a group can be: itself, or each of its parts. */
function codesIn(group) {
  const parts = group.split(PARTING), digits = parts.join("");
  if (parts.every((part) => part.length === DIGITS)) return parts;
  return digits.length === DIGITS ? [digits] : [];
}

export const isPasscode = (code) => /^[0-9]{6}$/.test(code ?? "");
