"""Sentences to speak: one line each, `kind<TAB>as written<TAB>as learnt`.

usage: text.py prompts.tsv.xz WORDNET_DIR SPEECH_TRAIN.tsv EXCLUDE.txt OUT_DIR

kinds   prose    sentences and clauses from the prompts (State of the Union, Austen, LJ Speech)
        gloss    definitions and examples from WordNet
        command  generated: numbers, digits, letters, dates, times, cards, movement, home, telephone, player
EXCLUDE.txt holds the sentences of every test set.  A training sentence of four words or more that equals one of them,
or shares six words in a row with one, is dropped; shorter ones ("yes", "thank you", "ten of clubs") cannot be avoided.
OUT_DIR gets text.tsv (shuffled), held.tsv (never spoken for training: the synthetic test set), tokenizer.model.
"""
import csv, glob, lzma, os, random, re, sys

SEED = 20261
HELD = 300          # sentences set aside for the synthetic test set
COMMANDS = 110_000

ONES = ('zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen '
        'seventeen eighteen nineteen').split()
TENS = '- - twenty thirty forty fifty sixty seventy eighty ninety'.split()
ORDINALS = ('- first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth '
            'fifteenth sixteenth seventeenth eighteenth nineteenth twentieth').split()
MONTHS = 'january february march april may june july august september october november december'.split()
DAYS = 'monday tuesday wednesday thursday friday saturday sunday'.split()
LETTERS = 'abcdefghijklmnopqrstuvwxyz'


def normalise(text):
    """Lower case letters and inner apostrophes; None where a digit would have to be guessed."""
    text = text.replace('\u2019', "'").replace('`', "'").replace('&', ' and ')
    if re.search(r'[0-9$%@#=+<>/\\]', text):
        return None
    text = re.sub(r"[^a-z' ]+", ' ', text.lower())
    text = re.sub(r"(^|\s)'+|'+(?=\s|$)", ' ', text)
    return ' '.join(text.split())


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


class Commands:
    """A small grammar, one method a family."""

    def __init__(self, rng):
        self.r = rng
        self.families = [self.digits, self.digits, self.number, self.letters, self.date, self.clock, self.cards,
                         self.move, self.move, self.home, self.home, self.telephone, self.telephone, self.telephone,
                         self.player, self.ask, self.answer, self.money, self.names, self.screen]

    def one(self, words):
        return self.r.choice(words.split('|'))

    def digits(self):
        zero = self.one('zero|oh')
        return ' '.join(zero if d == 0 else ONES[d] for d in (self.r.randrange(10) for _ in range(self.r.randint(1, 10))))

    def number(self):
        text = cardinal(int(10 ** self.r.uniform(0, 6.3)))
        return self.one('||minus |point ') + text if self.r.random() < .2 else text

    def letters(self):
        return ' '.join(self.r.choice(LETTERS) for _ in range(self.r.randint(1, 6)))

    def date(self):
        day, month = self.r.choice(DAYS), self.r.choice(MONTHS)
        n = self.r.randint(1, 31)
        year = self.one('nineteen|twenty|eighteen') + ' ' + cardinal(self.r.randint(10, 99))
        return self.r.choice([f'{day} {month} {ordinal(n)}', f'{month} {ordinal(n)} {year}', f'the {ordinal(n)} of {month}',
                              f'{day} the {ordinal(n)}', f'{month} {cardinal(n)} {year}', f'next {day}', f'on {day} morning'])

    def clock(self):
        hour, minute = cardinal(self.r.randint(1, 12)), cardinal(self.r.randint(10, 59))
        part = self.one('in the morning|in the evening|in the afternoon|at night|a m|p m||')
        head = self.one('at|it is|wake me at|set an alarm for|remind me at||until|by')
        return f"{head} {hour} {self.one('oclock|' + minute + '|' + minute + '|thirty|fifteen')} {part}".replace('oclock', "o'clock")

    def cards(self):
        rank = lambda: self.one('ace|two|three|four|five|six|seven|eight|nine|ten|jack|queen|king')
        card = lambda: rank() + ' of ' + self.one('hearts|clubs|spades|diamonds')
        return self.one(' | and ').join(card() for _ in range(self.r.randint(1, 3)))

    def move(self):
        verb = self.one('go|move|turn|drive|walk|step|slide|roll|fly|rotate|come|back up|climb')
        way = self.one('forward|backward|left|right|up|down|ahead|around|back|north|south|east|west')
        unit = self.one('meters|meter|feet|degrees|steps|miles|inches|centimeters|kilometers|seconds')
        tail = self.one(f'|{cardinal(self.r.randint(1, 100))} {unit}|{cardinal(self.r.randint(1, 20))} {unit}|slowly|quickly|and stop|now')
        return f"{self.one('||please ')}{verb} {way} {tail}"

    def home(self):
        thing = self.one('light|lights|lamp|fan|heater|radio|television|door|window|kitchen light|bedroom light|music|alarm|camera|'
                         'volume|heating|garage door|coffee machine|oven|screen|printer|engine|pump|water|robot|timer')
        act = self.one('turn on|turn off|switch on|switch off|open|close|lock|unlock|start|stop|check|dim|reset|lower|raise')
        place = self.one('|in the kitchen|in the bedroom|in the hall|upstairs|downstairs|in the garden|in the office|now|please')
        return self.r.choice([f'{act} the {thing} {place}', f'{act} the {thing}', f'set the {thing} to {cardinal(self.r.randint(1, 100))}',
                              f'is the {thing} on {place}', f'{act} {thing}',
                              f'set the temperature to {cardinal(self.r.randint(50, 90))} degrees',
                              f'set a timer for {cardinal(self.r.randint(1, 60))} {self.one("minutes|seconds|hours")}'])

    def telephone(self):
        n = lambda a=0, b=9: cardinal(self.r.randint(a, b))
        noun = self.one('message|call|password|number|extension|account|mailbox|conference|recording|name|code|caller|user|agent|'
                        'greeting|menu|option|line|system|office|party|service|operator|department|card|language|list|file')
        verb = self.one('enter|press|dial|record|repeat|delete|save|forward|change|confirm|cancel|hear|review|skip|accept|reject|choose|speak|say')
        key = self.one('pound key|star key|pound|star|' + n() + '|' + n())
        state = self.one('busy|not available|invalid|full|empty|incorrect|closed|open|ready|locked|unavailable|disabled|enabled|'
                         'on hold|connected|not valid|out of service|already in use|too short|too long|complete|cancelled|saved|deleted')
        return self.r.choice([
            f'please {verb} your {noun}', f'please {verb} the {noun} followed by the {key}', f'press {key} to {verb} the {noun}',
            f'to {verb} this {noun} press {key}', f'the {noun} is {state}', f'your {noun} is {state}', f'that {noun} is {state}',
            f'you have {n(0, 40)} new {noun}s', f'you have {n()} {self.one("old|urgent|other|more")} {noun}s', f'{noun} {n(1, 99)}',
            f'for {noun} {self.one("press|dial")} {key}', f'please {self.one("hold|wait|try again")} while we {self.one("find|connect|transfer")} your {noun}',
            f'the {noun} you have {self.one("dialed|entered|chosen")} is {state}', f'thank you for {self.one("calling|waiting|holding|your patience")}',
            f'if this is {self.one("correct|right|wrong")} press {key}', f'{noun} {state}', f'there are {n(2, 30)} {noun}s in the {noun} {self.one("queue|list")}',
            f'{self.one("goodbye|welcome|sorry|thank you|hello|one moment please|please wait|try again|not now|yes|no|all right")}',
            f'all of our {noun}s are {state}', f'at the {self.one("tone|beep|end")} please {verb} your {noun}', f'{noun} number {n(1, 60)}',
            f'is {state}', f'has been {self.one("saved|deleted|changed|recorded|activated|removed|added|transferred")}', f'your {noun} has been {self.one("saved|deleted|changed|recorded|activated|removed")}'])

    def player(self):
        return self.r.choice([f"{self.one('play|pause|stop|skip|repeat|shuffle|mute')} {self.one('the song|this song|the next song|the album|the music|the last track|the news|some jazz|the radio')}",
                              f"{self.one('volume|louder|quieter|next|previous|track|channel')} {cardinal(self.r.randint(1, 100))}",
                              f"turn {self.one('it|the volume|the music')} {self.one('up|down')}", self.one('next|previous|pause|play|stop|louder|quieter|mute|rewind|fast forward')])

    def ask(self):
        thing = self.one('time|weather|date|news|temperature|answer|name of this song|capital of france|distance to the moon|price|score|traffic|address|next train|best way home')
        return self.r.choice([f'what is the {thing}', f'tell me the {thing}', f"what's the {thing} {self.one('today|tomorrow|now|please')}", f'how far is it to the {self.one("station|airport|beach|school|hospital|bank|market|river")}',
                              f'how many {self.one("cups|people|days|miles|minutes|apples|files|steps")} are {self.one("there|left|in a week|in the box|on the table")}',
                              f'where is the {self.one("nearest|next|other")} {self.one("station|shop|bank|hotel|exit|door|phone|school")}',
                              f'{self.one("call|find|send a message to|write to|remind|phone|text")} {self.one("mother|father|my brother|my sister|the doctor|the office|john|mary|david|anna|robert|susan|the school|home")}'])

    def answer(self):
        return self.one('yes|no|okay|stop|go|start|cancel|help|undo|redo|next|back|enter|delete|up|down|left|right|on|off|copy|paste|save|open|close|quit|exit|hello|'
                        'goodbye|thank you|please|maybe|correct|wrong|ready|wait|continue|repeat|again|yes please|no thank you|not now|try again|never mind|good morning|'
                        'good night|good evening|how are you|i do not know|that is right|very good|one moment|come here|look out|follow me|stand up|sit down')

    def money(self):
        return f"{cardinal(int(10 ** self.r.uniform(0, 4)))} {self.one('dollars|pounds|euros|cents|percent|dollars and ' + cardinal(self.r.randint(1, 99)) + ' cents|point ' + cardinal(self.r.randint(0, 9)))}"

    def names(self):
        first = self.one('john|mary|david|anna|robert|susan|peter|helen|james|linda|michael|sarah|william|emma|thomas|alice|george|laura|henry|julia|paul|nancy|mark|karen|steven|ruth')
        last = self.one('smith|jones|brown|taylor|wilson|johnson|white|martin|clark|walker|hall|young|king|wright|hill|green|baker|adams|nelson|carter|mitchell|roberts|turner|parker|evans|cooper')
        return self.r.choice([f'{first} {last}', f'my name is {first}', f'call {first} {last}', f'{first} and {self.one("john|mary|anna|peter|helen|james")}', f'this is {first} {last} speaking'])

    def screen(self):
        thing = self.one('file|window|page|tab|folder|picture|map|mail|calendar|browser|editor|document|terminal|settings|line|word|paragraph|list|menu')
        return self.r.choice([f'{self.one("open|close|save|delete|print|show|hide|copy|move|find|select|rename|create")} {self.one("the|this|a new|the last|the next|my|every")} {thing}',
                              f'{self.one("scroll|page|go|jump")} {self.one("up|down|to the top|to the end|back|to line " + cardinal(self.r.randint(1, 200)))}',
                              f'{self.one("zoom|log|sign")} {self.one("in|out")}', f'new {thing}', f'go to {self.one("the next|the previous|the first|the last")} {thing}'])

    def next(self):
        return ' '.join(self.r.choice(self.families)().split())


def pieces(sentence, words_max):
    """A sentence, or its clauses where it is long, joined up to words_max words."""
    if len(sentence.split()) <= words_max:
        return [sentence]
    out, now = [], ''
    for clause in re.split(r'(?<=[,;:])\s+', sentence):
        if now and len((now + ' ' + clause).split()) > words_max:
            out.append(now)
            now = clause
        else:
            now = (now + ' ' + clause).strip()
    return [p for p in out + [now] if len(p.split()) <= words_max + 4]


def runs(text, n=6):
    words = text.split()
    return [' '.join(words[i:i + n]) for i in range(len(words) - n + 1)]


def main():
    prompts, wordnet, real, exclude, out = sys.argv[1:6]
    rng = random.Random(SEED)
    banned = {t for t in map(normalise, open(exclude)) if t and len(t.split()) >= 4}
    banned_runs = {run for t in banned for run in runs(t)}
    seen, lines = set(banned), []

    def add(kind, written, words_min, words_max):
        text = normalise(written)
        if not text or text in seen or any(run in banned_runs for run in runs(text)):
            return
        words = text.split()
        if words_min <= len(words) <= words_max and all(len(w) < 18 for w in words):
            seen.add(text)
            lines.append((kind, ' '.join(written.replace('\t', ' ').split()), text))

    for row in csv.reader(lzma.open(prompts, 'rt'), delimiter='\t', quoting=csv.QUOTE_NONE):
        for piece in pieces(row[1], rng.choice([8, 14, 20, 28])):
            add('prose', piece, 1, 32)
    for path in sorted(glob.glob(os.path.join(wordnet, 'data.*'))):
        for line in open(path, errors='ignore'):
            if '|' in line:
                for piece in re.split(r'[;"()]', line.split('|', 1)[1]):
                    add('gloss', piece, 2, 20)
    commands, grammar, tries = set(), Commands(rng), 0
    while len(commands) < COMMANDS and tries < 3_000_000:
        tries += 1
        commands.add(grammar.next())
    for text in sorted(commands):
        add('command', text, 1, 24)
    rng.shuffle(lines)
    held, lines = lines[:HELD], lines[HELD:]
    # Short answers are few but matter: they come back often, spoken by other voices.
    short = [l for l in lines if l[0] == 'command' and len(l[2].split()) <= 3]
    lines += short * 2
    rng.shuffle(lines)
    os.makedirs(out, exist_ok=True)
    for name, rows in (('text.tsv', lines), ('held.tsv', held)):
        with open(os.path.join(out, name), 'w') as f:
            f.writelines('\t'.join(r) + '\n' for r in rows)
    count = {}
    for kind, _, _ in lines:
        count[kind] = count.get(kind, 0) + 1
    print(count, len(lines))
    corpus = os.path.join(out, 'corpus.txt')
    real_text = [r['text'] for r in csv.DictReader(open(real), delimiter='\t')]
    with open(corpus, 'w') as f:
        f.writelines(t + '\n' for t in [l[2] for l in lines] + real_text * 4)
    import sentencepiece
    sentencepiece.SentencePieceTrainer.train(input=corpus, model_prefix=os.path.join(out, 'tokenizer'), vocab_size=256, model_type='bpe',
                                             character_coverage=1.0, bos_id=-1, eos_id=-1, pad_id=-1, unk_id=0, minloglevel=2,
                                             num_threads=2, max_sentence_length=1000)


if __name__ == '__main__':
    main()
