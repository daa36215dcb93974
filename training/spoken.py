"""Numbers, days and letters as they are spoken."""

ONES = ('zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen '
        'seventeen eighteen nineteen').split()
TENS = '- - twenty thirty forty fifty sixty seventy eighty ninety'.split()
ORDINALS = ('- first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth '
            'fifteenth sixteenth seventeenth eighteenth nineteenth twentieth').split()
MONTHS = 'january february march april may june july august september october november december'.split()
DAYS = 'monday tuesday wednesday thursday friday saturday sunday'.split()
LETTERS = 'abcdefghijklmnopqrstuvwxyz'


def cardinal(n):
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10] + (' ' + ONES[n % 10] if n % 10 else '')
    if n < 1000:
        return ONES[n // 100] + ' hundred' + (' ' + cardinal(n % 100) if n % 100 else '')
    if n < 1_000_000:
        return cardinal(n // 1000) + ' thousand' + (' ' + cardinal(n % 1000) if n % 1000 else '')
    return cardinal(n // 1_000_000) + ' million' + (' ' + cardinal(n % 1_000_000) if n % 1_000_000 else '')


def ordinal(n):
    if n <= 20:
        return ORDINALS[n]
    if n == 30:
        return 'thirtieth'
    return TENS[n // 10] + ' ' + ORDINALS[n % 10]
