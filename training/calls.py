"""Sentences of telephones: menus, voice mail, conferences, queues, directories, spelling, dates and times as machines say them.

A grammar of our own, with words that any exchange uses; no system's list of prompts went into it.  text.py speaks what it makes.
"""
from spoken import LETTERS, DAYS, MONTHS, ONES, cardinal, ordinal

SPELLED = ('alpha alfa bravo charlie delta echo foxtrot golf hotel india juliet kilo lima mike november oscar papa quebec romeo sierra '
           'tango uniform victor whiskey x-ray yankee zulu').replace('x-ray', 'xray').split()
SIGNS = ('pound|star|hash|asterisk|dash|dot|slash|space|at sign|comma|plus|minus|equals|dollar sign|percent sign|underscore|colon|period|'
         'question mark|exclamation point|ampersand|quote|semicolon|parenthesis|bracket|point|hyphen|apostrophe')
KEYS = 'one|two|three|four|five|six|seven|eight|nine|zero|star|pound|hash|the pound key|the star key|the hash key'
THINGS = ('message|call|password|number|extension|account|mailbox|conference|recording|name|code|access code|pin|pin number|greeting|'
          'busy greeting|unavailable greeting|temporary greeting|menu|option|line|queue|directory|folder|department|operator|entry|'
          'caller|participant|member|user|agent|leader|moderator|listener|channel|schedule|language|service|system|telephone|phone|'
          'telephone number|phone number|area code|zip code|fax|pager|group|invoice|order|reservation|appointment|delivery|balance|payment|'
          'personal identification number|identification number|caller id|callback number|forwarding number|destination|speed dial|'
          'wake up call|call waiting|call forwarding|do not disturb|parking space|parked call|transfer|connection|server|network|switch|'
          'administrator|technician|representative|supervisor|receptionist|assistant|customer|attendee|speaker|talker|host|guest|party')
PEOPLE = ('participant|participants|caller|callers|member|members|user|users|people|person|party|parties|agent|agents|listener|'
          'listeners|guest|guests|attendees|others|leader|moderator|administrator|operator|speaker')
ACTS = ('enter|press|dial|record|re-record|repeat|delete|save|forward|change|confirm|cancel|hear|review|skip|accept|reject|choose|say|play|'
        'replay|pause|resume|stop|rewind|listen to|send|reply to|call back|transfer|park|pick up|answer|hold|mute|unmute|lock|unlock|'
        'join|leave|exit|enable|disable|activate|deactivate|turn on|turn off|add|remove|erase|undelete|restore|mark|page|log in to|'
        'log out of|sign in to|set up|schedule|extend|end|begin|start|raise|lower|increase|decrease|reset|list|select|verify|update|'
        'register|return to|go back to|check|invite|admit|dismiss|mute all|count').replace('re-record', 'rerecord')
STATES = ('busy|not available|unavailable|invalid|full|empty|incorrect|closed|open|ready|locked|unlocked|disabled|enabled|on hold|connected|'
          'disconnected|not valid|out of service|in use|already in use|too short|too long|complete|cancelled|saved|deleted|muted|unmuted|'
          'on the phone|on vacation|out of the office|activated|deactivated|set|not set|unknown|private|restricted|urgent|temporarily '
          'unavailable|required|not found|not allowed|not in service|in progress|down|up|waiting|ringing|next|last|first|lost|restored|'
          'being recorded|being transferred|being monitored|expired|verified|rejected|blocked|at the front desk|away|off the hook')
DONE = ('saved|deleted|changed|recorded|activated|deactivated|removed|added|transferred|forwarded|muted|unmuted|locked|unlocked|cancelled|'
        'sent|received|accepted|rejected|disconnected|connected|enabled|disabled|restored|marked urgent|erased|scheduled|extended|'
        'confirmed|reset|set|cleared|updated|blocked|unblocked|verified|parked|picked up|answered|placed on hold|successfully saved|'
        'successfully changed|successfully sent|successfully deleted|temporarily disabled|turned on|turned off|ended|paused|admitted')
SHORT = ('hello|goodbye|good bye|welcome|sorry|thank you|please wait|please hold|try again|please try again|one moment please|yes|no|and|or|'
         'for|to|from|at|of|the|is|in|is at|is in|is not|are|was|with|by|then|than|more|less|less than|more than|about|currently|again|only|'
         'old|new|urgent|other|next|previous|first|last|on|off|up|down|in the|of the|for the|to the|today|tomorrow|yesterday|tonight|'
         'morning|afternoon|evening|noon|midnight|hour|hours|minute|minutes|second|seconds|day|days|week|weeks|month|months|year|years|'
         'a m|p m|hundred|thousand|million|billion|half|quarter|percent|degrees|number|extension|message|messages|received|inbox|family|'
         'friends|work|voice mail|voicemail|mailbox|telephone|privacy|conference|queue|agent|directory|operator|beep|tone|dial|press|enter|'
         'transfer|hold|busy|unavailable|offline|online|enabled|disabled|activated|deactivated|cancelled|invalid|incorrect|priority|position|'
         'north|south|east|west|simple|pound|star|hash|silence|weather|traffic|english|spanish|french|german|dollars|cents|euros|'
         'an error has occurred|access denied|are you there|are you sure|i am sorry|we are sorry|no one is available|not available|call '
         'again later|please call back|you are welcome|have a nice day|all right|okay|correct|wrong|one at a time|hang up|hung up|is muted|'
         'talking|listening|recording|recorded|paused|resumed|connecting|transferring|ringing|outside|inside|international|local|long '
         'distance|toll free|emergency|office|home|mobile|cell phone|pager|fax machine|answering machine|call parking|call waiting|caller '
         'id|speed dial|redial|last number|star six nine|do not disturb|wake up|good morning|good afternoon|good evening').split('|')


class Calls:
    """One method a family; next() gives a sentence."""

    def __init__(self, rng):
        self.r = rng
        self.families = [self.menu] * 5 + [self.status] * 4 + [self.ask] * 3 + [self.mail] * 4 + [self.conference] * 5 + \
            [self.queue] * 3 + [self.directory] * 2 + [self.spell] * 3 + [self.clock] * 3 + [self.amount] * 2 + [self.sorry] * 3 + \
            [self.feature] * 2 + [self.short] * 3 + [self.pair] * 3 + [self.help] * 2

    def one(self, words):
        return self.r.choice(words.split('|'))

    def n(self, low=0, high=9):
        return cardinal(self.r.randint(low, high))

    def digits(self, low=1, high=7):
        return ' '.join(self.r.choice(ONES[:10]) for _ in range(self.r.randint(low, high)))

    def menu(self):
        act, thing, key = self.one(ACTS), self.one(THINGS), self.one(KEYS)
        which = self.one('the|your|a|this|another|the next|the previous|the last|the first|a new|that|an|all')
        what = f'{act} {which} {thing}'
        return self.r.choice([
            f'press {key} to {what}', f'to {what} press {key}', f'to {what}', f'for {thing} press {key}', f'or press {key}',
            f'please {what}', f'please {what} followed by {key}', f'please {what} now', f'{what} then press {key}', f'press {key}',
            f'press {key} for {self.one("more options|the main menu|help|assistance|sales|support|billing|service|the operator|new messages|old messages")}',
            f'to {what} press {key} to {self.one(ACTS)} it press {self.one(KEYS)}', f'when you are finished press {key}',
            f'press {key} to {self.one("continue|exit|return to the main menu|hear this again|speak with an operator|try again|leave a message|increase the volume|lower the volume")}',
            f'if you know your {self.one("partys|party")} {thing} you may {self.one("dial|enter")} it {self.one("now|at any time")}'.replace('partys', "party's"),
            f'otherwise {self.one("please hold|stay on the line|press " + key + "|hang up")}', f'{what} and press {key} when {self.one("done|finished|you are ready")}'])

    def status(self):
        whose, thing = self.one('the|your|this|that|the other|our|my|his|her'), self.one(THINGS)
        return self.r.choice([
            f'{whose} {thing} is {self.one(STATES)}', f'{whose} {thing} is {self.one("now|currently|already|not|no longer|still")} {self.one(STATES)}',
            f'{whose} {thing} has been {self.one(DONE)}', f'{whose} {thing} has not been {self.one(DONE)}', f'has been {self.one(DONE)}',
            f'is {self.one("now|currently|already|not|still|temporarily")} {self.one(STATES)}', f'{thing} {self.one(STATES)}', f'{self.one(STATES)}',
            f'{whose} {thing} was {self.one(DONE)}', f'all {thing}s are {self.one("now|currently|already|")} {self.one(STATES)}', f'{thing}',
            f'{whose} {thing} will be {self.one(DONE)}', f'you are {self.one("now|currently|already|not")} {self.one(STATES)}',
            f'{whose} {thing} could not be {self.one(DONE)}', f'we are {self.one(STATES)}', f'{self.one("activated|deactivated|enabled|disabled|cancelled")}'])

    def ask(self):
        thing = self.one(THINGS)
        return self.r.choice([
            f'please enter {self.one("your|the|a|a new|the new|your new|your old")} {thing}', f'please enter your {thing} followed by {self.one(KEYS)}',
            f'please say your {thing} after the {self.one("tone|beep")}', f'please re enter your {thing}', f'enter the {thing}', f'what is your {thing}',
            f'please enter the {self.one("number|extension|code")} of the {self.one(PEOPLE)} you wish to {self.one("call|reach|speak with|add|remove|page|invite")}',
            f'at the {self.one("tone|beep")} please {self.one("say|record|state|leave")} your {thing}', f'please spell your {thing}', f'your {thing} please',
            f'please enter a {self.one("two|three|four|five|six|seven|ten")} digit {thing}', f'you entered {self.digits()}', f'if {self.digits(2, 7)} is correct press {self.one(KEYS)}',
            f'{self.one("login|log in|password|passcode|extension|mailbox|pin|account number|telephone number|caller id")}', f'please {self.one("confirm|verify|repeat")} your {thing}',
            f'is this {self.one("correct|right|the right number|your number|an emergency")}', f'enter your {thing} and press {self.one(KEYS)}'])

    def mail(self):
        kind = self.one('new|old|urgent|saved|unheard|deleted|unread|other|more|work|family|personal|unplayed')
        folder = self.one('inbox|old|work|family|friends|urgent|saved|deleted|new')
        return self.r.choice([
            f'you have {self.n(0, 60)} {kind} messages', f'you have one {kind} message', f'you have no {kind} messages', f'there are no {kind} messages',
            f'you have {self.n(2, 40)} {kind} and {self.n(2, 40)} {self.one("old|saved|urgent")} messages', f'message {self.n(1, 60)}', f'{kind} messages', f'no more {kind} messages',
            f'{self.one("first|next|last|previous|end of")} {self.one("message|messages|recording|greeting")}', f'the person at extension {self.digits(2, 5)} is {self.one("unavailable|on the phone|busy|away from the desk")}',
            f'please leave {self.one("a|your")} message {self.one("after the tone|at the beep|after the beep and then hang up|when you hear the tone")}',
            f'the mailbox is full', f'your mailbox is {self.one("almost full|empty|full|not set up|ninety percent full")}', f'message {self.one(DONE)}', f'greeting {self.one(DONE)}',
            f'to save this message in the {folder} folder press {self.one(KEYS)}', f'{self.one("received|recorded|sent")} {self.one("at|on|from")} {self.moment()}',
            f'from {self.one("phone number|extension|an unknown caller|an outside number|a private number|the operator|outside")} {self.digits(1, 7)}',
            f'record your {self.one("name|greeting|message|busy greeting|unavailable greeting|temporary greeting")} {self.one("after the tone|now|and press pound|at the tone")}',
            f'press {self.one(KEYS)} to {self.one("accept|listen to|rerecord|save|send|discard")} {self.one("this recording|this message|your greeting|it")}',
            f'to {self.one("hear|save|delete|forward|reply to|repeat|play|skip")} {self.one("this|the|your|the next|the previous")} {kind} message press {self.one(KEYS)}',
            f'{self.one("change|choose|select")} {self.one("folder|folders|mailbox|options")}', f'mailbox options', f'press {self.one(KEYS)} for {folder} messages', f'{folder} folder',
            f'your message has been {self.one(DONE)}', f'would you like to {self.one("hear|save|delete|mark|send")} {self.one("it|the message|another message|this one")}'])

    def conference(self):
        who, count = self.one(PEOPLE), self.n(2, 60)
        return self.r.choice([
            f'you are {self.one("now|currently|the first|the only|no longer|already|the last")} {self.one("muted|unmuted|in the conference|person in this conference|caller in this meeting|a listener|the host|being recorded")}',
            f'there {self.one("is|are")} {self.one("currently|now|only|")} {count} {who} in {self.one("this|the|your")} {self.one("conference|meeting|call|room")}',
            f'the {self.one("conference|meeting|room|call|session")} {self.one("will begin|will end|has started|has ended|is over|is full|is locked|is now locked|is now unlocked|is being recorded|starts|ends")} {self.one("|shortly|soon|now|in a moment|when the host arrives|when the moderator joins|at noon|in " + self.n(2, 50) + " minutes")}',
            f'the {who} {self.one("has|have|will")} {self.one("left|joined|entered|leave|join|enter|muted|arrived")} {self.one("the conference|the meeting|this call|the room|us|")}',
            f'{self.one("is|are|has been|have been")} {self.one("muted|unmuted|admitted|removed|dismissed|invited|now speaking|kicked out|locked out|waiting")}', f'{count} {who}',
            f'you have been {self.one("muted|unmuted|removed from the meeting|removed from the conference|admitted|disconnected|invited|placed on hold|given control")}',
            f'{self.one("welcome to|you are entering|you have joined|please wait for|goodbye from|leaving|joining")} {self.one("the conference|the meeting|the call|conference room|conference number|meeting number")} {self.one("|" + self.n(1, 99))}',
            f'{self.one("press|dial")} {self.one(KEYS)} to {self.one("mute|unmute|lock|unlock|leave|end|extend|record|join|hear the names in|invite someone to|remove the last caller from|count the people in|raise the volume of|change the language of")} {self.one("the|this|your")} {self.one("conference|line|meeting|microphone|call|room")}',
            f'to {self.one("increase|decrease|raise|lower|reset|change")} {self.one("the|your")} {self.one("volume|speaking volume|listening volume|talking volume|audio level|microphone level|volume of the meeting|volume of all callers")} {self.one("|press " + self.one(KEYS))}',
            f'this {self.one("conference|meeting|room")} is {self.one(STATES)}', f'{self.one("mute|unmute|lock|unlock")} {self.one("all participants|everyone|the last participant|all callers except the host|me|yourself|your line")}',
            f'that {self.one("conference|meeting|room|pin")} {self.one("number is not valid|does not exist|is full|has not started|has already ended|is not valid")}', f'{self.one("conference|meeting|room")} {self.one("muted|unmuted|locked|unlocked|ended|is over|number|menu|bridge|leader|recording")}',
            f'please enter the {self.one("conference|meeting|room|access")} {self.one("number|code|pin|pin number|password")} {self.one("|followed by " + self.one(KEYS))}',
            f'{self.one("now|currently|there are currently|we have|with")} {count} other {who}', f'please wait {self.one("for|until")} the {self.one("leader|host|moderator|organizer|administrator")} {self.one("arrives|joins|to arrive|lets you in|to join")}'])

    def queue(self):
        many = self.n(1, 60)
        return self.r.choice([
            f'your call is {self.one("number|in position|")} {many} in {self.one("the queue|line|the waiting line")}', f'you are {self.one("caller number|currently number|number")} {many} {self.one("in line|in the queue|in the line of callers|")}',
            f'thank you for {self.one("calling|waiting|holding|your patience|your call|being a customer|your order|calling customer service")}', f'please {self.one("hold|stay on the line|remain on the line|wait")} and {self.one("someone|an agent|the next agent|a representative|an operator|a technician|somebody")} will {self.one("be with you|help you|answer your call|take your call|speak to you")} {self.one("shortly|soon|as soon as possible|in a moment|in the order received")}',
            f'{self.one("all of our|all|our|most of our")} {self.one("agents|representatives|operators|lines|circuits|technicians|clerks")} are {self.one("busy|currently busy|helping other customers|assisting other callers|on other calls|unavailable right now|with someone else")}',
            f'{self.one("the|your|our")} {self.one("estimated|current|average|expected")} {self.one("wait|hold time|wait time|waiting time")} is {self.one("about|approximately|less than|more than|currently|now|around|")} {many} {self.one("minutes|seconds|hours")}',
            f'there {self.one("are|are currently")} {many} {self.one("callers|calls|people|customers")} {self.one("waiting|ahead of you|in front of you|in line|before you|in the queue")}', f'hold time', f'less than {many} {self.one("minutes|seconds|callers")}', f'{many} {self.one("seconds|minutes|callers")}',
            f'agent {self.one("logged in|logged off|logged out|is available|is busy|login|unavailable|number " + self.digits(2, 5))}', f'please enter your agent {self.one("number|password|code|id")} {self.one("|followed by " + self.one(KEYS))}',
            f'you are {self.one("now|already|not")} logged {self.one("in|off|out|on")}', f'your call {self.one("is important to us|will be answered shortly|may be recorded|may be monitored for quality|is being transferred|has been placed on hold|cannot be completed as dialed|will be returned|is next in line|is about to be answered")}'])

    def directory(self):
        part = self.one('first|last')
        return self.r.choice([
            f'{self.one("enter|please enter|dial|spell")} the {self.one("first|first two|first three|first four|last four")} {self.one("letters|digits|characters")} of {self.one("the|your|their|the persons|the partys")} {part} name'.replace('persons', "person's").replace('partys', "party's"),
            f'using your {self.one("touch tone phone|telephone keypad|keypad|telephone")} {self.one("please enter|spell|dial|enter")} the name', f'no {self.one("match|matches|entries|names|person|listing|more matches|directory entry")} {self.one("found|was found|were found|match your search|at this time|")}',
            f'if this is the {self.one("person|party|name|number|employee")} you {self.one("are looking for|want|wish to call|need")} press {self.one(KEYS)}', f'for {self.one("the letter")} {self.one("q|z|q and z")} {self.one("use|press|dial")} {self.one(KEYS)}',
            f'welcome to the {self.one("company|dial by name|phone|employee|telephone|corporate")} directory', f'to {self.one("search|look|dial")} by {part} name press {self.one(KEYS)}', f'for the next {self.one("name|entry|match|person")} press {self.one(KEYS)}'])

    def spell(self):
        count = self.r.randint(1, 5)
        letters = ' '.join(self.r.choice(LETTERS) for _ in range(count))
        spelled = ' '.join(self.r.choice(SPELLED + ['niner']) for _ in range(self.r.choice([1, 1, 2, 3, 4])))
        return self.r.choice([letters, letters, spelled, spelled, spelled, self.one(SIGNS), self.one(SIGNS) + ' ' + self.one(SIGNS), f'{letters} {self.one("dot|dash|slash|at|space")} {letters}',
            f'{self.one("lower|upper|capital|small")} {self.one("case|letter|")} {letters}', f'{self.r.choice(LETTERS)} as in {self.r.choice(SPELLED)}', f'letter {self.r.choice(LETTERS)}', f'{self.digits(1, 3)} {self.one(SIGNS)}', f'{letters} {self.digits(1, 4)}'])

    def moment(self):
        day, month, hour = self.r.choice(DAYS), self.r.choice(MONTHS), self.r.randint(1, 12)
        minute = self.r.choice(["o'clock", 'oh ' + self.n(1, 9), self.n(10, 59), self.n(10, 59), ''])
        part = self.one('a m|p m|in the morning|in the afternoon|in the evening|')
        return self.r.choice([f'{day} {month} {ordinal(self.r.randint(1, 31))}', f'{cardinal(hour)} {minute} {part}', f'{self.one("today|yesterday|tomorrow|" + day)} at {cardinal(hour)} {minute} {part}',
            f'{month} {ordinal(self.r.randint(1, 31))} two thousand {self.n(1, 29)}', f'{month} {ordinal(self.r.randint(1, 31))} at {cardinal(hour)} {minute} {part}', f'{day}', f'{month}', f'{ordinal(self.r.randint(1, 31))}'])

    def clock(self):
        return self.r.choice([self.moment(), self.moment(), f'{self.one("the time is|it is now|at the tone the time will be|the current time is|today is|the date is|your wake up call is set for|scheduled for|until|starting at|ending at")} {self.moment()}',
            f'{self.n(1, 59)} {self.one("seconds|minutes|hours|days|weeks|months|years")} {self.one("ago|remaining|left|from now|")}', f'{self.n(1, 24)} hours {self.n(1, 59)} minutes {self.one("|and " + self.n(1, 59) + " seconds")}', f'in {self.n(1, 59)} minutes', f'{self.n(0, 23)} hundred hours'])

    def amount(self):
        return self.r.choice([f'{self.n(1, 9)} hundred {self.n(0, 99)}', f'{ordinal(self.r.randint(1, 31))}', f'{self.n(1, 999)} dollars {self.one("|and " + self.n(1, 99) + " cents")}', f'your {self.one("balance|payment|total|remaining credit|account balance")} is {self.n(1, 900)} {self.one("dollars|euros|units|minutes|cents|points")}',
            f'{self.n(0, 9)} point {self.n(0, 9)}', f'minus {self.n(1, 60)}', f'{self.n(0, 100)} percent', f'{self.n(0, 110)} degrees {self.one("|fahrenheit|celsius|north|south|east|west")}', f'{self.digits(3, 7)}', f'{self.digits(3, 4)} {self.digits(3, 4)}', f'extension {self.digits(2, 5)}', f'{self.n(1, 99)}'])

    def sorry(self):
        why = self.one('that is not a valid|i did not understand that|i could not find that|there is no such|you have entered an invalid|we do not have that|you did not enter a|i do not recognize that|that was not a valid')
        return self.r.choice([f"{self.one('|sorry|i am sorry|i am sorry but|we are sorry')} {why} {self.one(THINGS)} {self.one('|please try again|goodbye|good bye')}", f'the {self.one("number|extension|person|party|subscriber")} you {self.one("have dialed|dialed|are calling|are trying to reach|have reached|have called")} {self.one("is not in service|has been disconnected|is not available|cannot be reached|is busy|does not answer|has been changed|is not responding|is not a working number")}',
            f'{self.one("sorry|i am sorry")} {self.one("there has been an error|we cannot do that|an error has occurred|that did not work|you do not have permission|the system is busy|no one is available to take your call|that is not available")}', f'{self.one("please|check the number and|hang up and")} {self.one("try again|try your call again|dial again|call back later|try again later|try your call later")}',
            f'the {self.one(THINGS)}s do not match', f'your {self.one(THINGS)} must be at least {self.n(2, 12)} {self.one("digits|seconds|characters|letters")} long', f'too many {self.one("attempts|errors|calls|invalid tries|failed attempts")}', f'login {self.one("failed|incorrect|successful|denied")}', f'{self.one("attempt|transfer|call|connection|parking|recording|payment|login")} {self.one("failed|complete|succeeded|denied|refused|accepted|attempt failed")}',
            f'you must {self.one("first|")} {self.one(ACTS)} {self.one("a|the|your")} {self.one(THINGS)}', f'you may {self.one("now|not|also")} {self.one(ACTS)} the {self.one(THINGS)}', f'i am sorry but {self.one("nobody is|no one is|there is nobody")} {self.one("available|there|in the office|at that number|in this meeting|here right now")}'])

    def feature(self):
        what = self.one('call forwarding|call waiting|call parking|do not disturb|speed dial|caller id|voice mail|voicemail|three way calling|call return|auto answer|call recording|call screening|the intercom|paging|the alarm|music on hold|the speaker|last number redial|follow me|anonymous call rejection|call blocking|hot desking|forward on busy|forward on no answer|forward unconditionally')
        when = self.one('on busy|on no answer|when busy|when unavailable|unconditionally|at all times|temporarily|after hours|on weekends|for this line')
        return self.r.choice([what, f'{what} {when}', f'{what} {self.one("is|is now|has been")} {self.one("on|off|enabled|disabled|activated|deactivated|cancelled|set")}', f'{self.one("activate|deactivate|enable|disable|turn on|turn off|cancel|set up|use")} {what} {self.one("|" + when)}', f'calls {self.one("are|will be|are now")} forwarded to {self.one("extension|number|")} {self.digits(2, 7)}', f'speed dial {self.n(1, 99)} is {self.one("empty|set|not set|full|" + self.digits(3, 7))}', f'your caller id is {self.digits(3, 7)}', f'the last {self.one("call|number|caller|incoming call")} {self.one("was|was from|came from|to call was")} {self.digits(3, 7)}', f'{self.one("parking|parked at|your call is parked at|pick up the call at")} {self.one("space|extension|lot|slot|")} {self.digits(2, 3)}'])

    def short(self):
        return self.r.choice(SHORT)

    def pair(self):
        glue = self.one(' | and | or | the | for the | of the | is | to | in | by | at the ')
        return self.r.choice(SHORT) + glue + self.r.choice(SHORT)

    def help(self):
        return self.r.choice([
            f'this {self.one("service|system|demonstration|test|call|message|program")} {self.one("will|can|may|lets you|is used to")} {self.one(ACTS)} {self.one("your|the|any|a")} {self.one(THINGS)}', f'i {self.one("am about|will now try|am going|would like|need")} to {self.one(ACTS)} {self.one("your|the|a")} {self.one(THINGS)}',
            f'{self.one("congratulations|success|welcome|thank you")} you have {self.one("successfully|just|now|already")} {self.one("installed|reached|completed|connected to|called|tested|set up|configured")} the {self.one(THINGS)}', f'the {self.one(THINGS)} {self.one("you are calling|you have chosen|at this site|of this office|in your account")} {self.one("wants|would like|needs|has asked|is trying")} to {self.one(ACTS)} {self.one("you|your|the")} {self.one(THINGS)}',
            f'{self.one("a|the|your|an")} {self.one("incoming|outgoing|missed|collect|long distance|local|international|second|private|anonymous")} call {self.one("from|to|is waiting from|was received from")} {self.one("extension|number|the office|home|mobile|" + self.one(PEOPLE))} {self.digits(1, 5)}', f'after the {self.one("tone|beep|call|message|recording|greeting")} {self.one("say|speak|state|press|enter|leave|hang up or press")} {self.one("your name|pound|a message|the reason for your call|the amount|your answer")}',
            f'you {self.one("can|may|will|must|need to|should")} {self.one("now|also|then|")} {self.one(ACTS)} {self.one("your|the|this|another")} {self.one(THINGS)} {self.one("|at any time|by pressing " + self.one(KEYS) + "|from this menu|on the internet|with your telephone")}', f'it {self.one("is|was|will be|has been")} {self.one("not |")}{self.one(STATES)}'])

    def next(self):
        return ' '.join(self.r.choice(self.families)().split())
