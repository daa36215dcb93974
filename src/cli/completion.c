/* completion.c - shell completion scripts from the tables of commands and options.
 *
 * A command with children is completed one level deeper.  Help texts come from our own tables, but are
 * quoted all the same: an apostrophe in one must not break a script. */
#include <string.h>

#include "base/memory.h"
#include "cli/command.h"

/* Single-quoted for a shell; colons escaped for zsh's descriptions. */
static void quoted(conure_buffer *out, const char *text, bool zsh)
{
    for (; *text; text++) {
        if (*text == '\'')
            conure_buffer_text(out, zsh ? "'\\''" : "\\'");
        else if (zsh && (*text == ':' || *text == '[' || *text == ']'))
            conure_buffer_format(out, "\\%c", *text);
        else if (!zsh && *text == '\\')
            conure_buffer_text(out, "\\\\");
        else
            conure_buffer_add(out, text, 1);
    }
}

static void names(conure_buffer *out, const conure_command *const *commands)
{
    for (size_t i = 0; commands[i]; i++)
        conure_buffer_format(out, "%s%s", i ? " " : "", commands[i]->name);
}

static void words(conure_buffer *out, const char *const *list)
{
    for (size_t i = 0; list && list[i]; i++)
        conure_buffer_format(out, "%s%s", i ? " " : "", list[i]);
}

/* Call fn for every command that has options, with the words that lead to it ("model info"). */
static void each(conure_buffer *out,
                 void (*fn)(conure_buffer *, const conure_command *parent, const conure_command *))
{
    for (size_t i = 0; conure_commands[i]; i++) {
        const conure_command *c = conure_commands[i];
        if (!c->children)
            fn(out, NULL, c);
        for (size_t k = 0; c->children && c->children[k]; k++)
            fn(out, c, c->children[k]);
    }
}

/* ---- bash */

static void bash_values(conure_buffer *out, const conure_option *o)
{
    if (o->kind == CONURE_OPTION_CHOICE) {
        conure_buffer_text(out, "words='");
        words(out, o->choices);
        conure_buffer_text(out, "' ;;\n");
    } else if (o->complete == CONURE_COMPLETE_FILE) {
        conure_buffer_text(out, "kind=file ;;\n");
    } else if (o->complete == CONURE_COMPLETE_FOLDER) {
        conure_buffer_text(out, "kind=folder ;;\n");
    } else {
        conure_buffer_text(out, "kind=none ;;\n");
    }
}

static void bash_command(conure_buffer *out, const conure_command *parent,
                         const conure_command *command)
{
    conure_buffer_format(out, "    '%s%s%s')\n        case $previous in\n",
                         parent ? parent->name : "", parent ? " " : "", command->name);
    for (const conure_option *o = command->options; o && o->kind; o++) {
        if (o->kind == CONURE_OPTION_FLAG)
            continue;
        conure_buffer_format(out, "        --%s", o->name);
        if (o->letter)
            conure_buffer_format(out, "|-%c", o->letter);
        conure_buffer_text(out, ") ");
        bash_values(out, o);
    }
    conure_buffer_text(out, "        *) options='--help");
    for (const conure_option *o = command->options; o && o->kind; o++)
        conure_buffer_format(out, " --%s", o->name);
    conure_buffer_text(out, "'");
    if (command->words) {
        conure_buffer_text(out, "; words='");
        words(out, command->words);
        conure_buffer_text(out, "'");
    } else if (command->complete == CONURE_COMPLETE_COMMAND) {
        conure_buffer_text(out, "; words='");
        names(out, conure_commands);
        conure_buffer_text(out, "'");
    } else {
        conure_buffer_format(out, "; kind=%s",
                             command->complete == CONURE_COMPLETE_FILE ? "file" : "none");
    }
    conure_buffer_text(out, " ;;\n        esac ;;\n");
}

static void bash(conure_buffer *out)
{
    conure_buffer_text(out,
                       "# bash completion of conure, made by 'conure completion bash'\n"
                       "_conure() {\n"
                       "    local current=${COMP_WORDS[COMP_CWORD]} "
                       "previous=${COMP_WORDS[COMP_CWORD-1]}\n"
                       "    local command=${COMP_WORDS[1]} words='' options='' kind=''\n"
                       "    COMPREPLY=()\n    if ((COMP_CWORD == 1)); then\n"
                       "        COMPREPLY=($(compgen -W '");
    names(out, conure_commands);
    conure_buffer_text(out, " --help --version' -- \"$current\"))\n        return\n    fi\n");
    for (size_t i = 0; conure_commands[i]; i++)
        if (conure_commands[i]->children) {
            conure_buffer_format(out,
                                 "    if [[ $command == %s ]]; then\n"
                                 "        if ((COMP_CWORD == 2)); then\n"
                                 "            COMPREPLY=($(compgen -W '",
                                 conure_commands[i]->name);
            names(out, conure_commands[i]->children);
            conure_buffer_text(out, " --help' -- \"$current\"))\n            return\n        fi\n"
                                    "        command=\"$command ${COMP_WORDS[2]}\"\n    fi\n");
        }
    conure_buffer_text(out, "    case $command in\n");
    each(out, bash_command);
    conure_buffer_text(
        out, "    esac\n"
             "    if [[ $current == -* && -n $options ]]; then words=$options kind=''; fi\n"
             "    case $kind in\n"
             "    file) COMPREPLY=($(compgen -f -- \"$current\")) ;;\n"
             "    folder) COMPREPLY=($(compgen -d -- \"$current\")) ;;\n"
             "    none) ;;\n"
             "    *) COMPREPLY=($(compgen -W \"$words\" -- \"$current\")) ;;\n"
             "    esac\n}\ncomplete -o filenames -F _conure conure\n");
}

/* ---- zsh */

static void zsh_action(conure_buffer *out, conure_complete complete, const char *const *list)
{
    if (list) {
        conure_buffer_text(out, "(");
        words(out, list);
        conure_buffer_text(out, ")");
    } else if (complete == CONURE_COMPLETE_COMMAND) {
        conure_buffer_text(out, "(");
        names(out, conure_commands);
        conure_buffer_text(out, ")");
    } else if (complete == CONURE_COMPLETE_FILE) {
        conure_buffer_text(out, "_files");
    } else if (complete == CONURE_COMPLETE_FOLDER) {
        conure_buffer_text(out, "_files -/");
    }
}

static void zsh_option(conure_buffer *out, const conure_option *o)
{
    if (o->letter)
        conure_buffer_format(out, " \\\n        {-%c,--%s}'[", o->letter, o->name);
    else
        conure_buffer_format(out, " \\\n        '--%s[", o->name);
    quoted(out, o->help, true);
    conure_buffer_text(out, "]");
    if (o->kind != CONURE_OPTION_FLAG) {
        conure_buffer_text(out, ":");
        quoted(out, o->value, true);
        conure_buffer_text(out, ":");
        zsh_action(out, o->complete, o->choices);
    }
    conure_buffer_text(out, "'");
}

static void zsh_command(conure_buffer *out, const conure_command *parent,
                        const conure_command *command)
{
    conure_buffer_format(out, "    '%s%s%s')\n        _arguments '(- *)'{-h,--help}'[print help]'",
                         parent ? parent->name : "", parent ? " " : "", command->name);
    for (const conure_option *o = command->options; o && o->kind; o++)
        zsh_option(out, o);
    if (command->complete || command->words) {
        conure_buffer_text(out, " \\\n        '*:argument:");
        zsh_action(out, command->complete, command->words);
        conure_buffer_text(out, "'");
    }
    conure_buffer_text(out, " ;;\n");
}

static void zsh_describe(conure_buffer *out, const char *array,
                         const conure_command *const *commands)
{
    conure_buffer_format(out, "    local -a %s=(", array);
    for (; *commands; commands++) {
        conure_buffer_format(out, " \\\n        '%s:", (*commands)->name);
        quoted(out, (*commands)->summary, true);
        conure_buffer_text(out, "'");
    }
    conure_buffer_text(out, ")\n");
}

static void zsh(conure_buffer *out)
{
    conure_buffer_text(out, "#compdef conure\n"
                            "# zsh completion of conure, made by 'conure completion zsh'\n"
                            "_conure() {\n");
    zsh_describe(out, "commands", conure_commands);
    conure_buffer_text(out, "    if ((CURRENT == 2)); then\n"
                            "        _describe command commands\n        return\n    fi\n"
                            "    local command=$words[2]\n");
    for (size_t i = 0; conure_commands[i]; i++)
        if (conure_commands[i]->children) {
            zsh_describe(out, conure_commands[i]->name, conure_commands[i]->children);
            conure_buffer_format(out,
                                 "    if [[ $command == %s ]]; then\n"
                                 "        if ((CURRENT == 3)); then\n"
                                 "            _describe command %s\n            return\n        fi\n"
                                 "        command=\"$command $words[3]\"\n"
                                 "        shift words; ((CURRENT--))\n    fi\n",
                                 conure_commands[i]->name, conure_commands[i]->name);
        }
    conure_buffer_text(out, "    shift words; ((CURRENT--))\n    case $command in\n");
    each(out, zsh_command);
    conure_buffer_text(out, "    esac\n}\n_conure \"$@\"\n");
}

/* ---- fish */

static void fish_command(conure_buffer *out, const conure_command *parent,
                         const conure_command *command)
{
    char when[128];
    conure_buffer condition = {0};
    if (parent)
        conure_buffer_format(&condition,
                             "__fish_seen_subcommand_from %s; and __fish_seen_subcommand_from %s",
                             parent->name, command->name);
    else
        conure_buffer_format(&condition, "__fish_seen_subcommand_from %s", command->name);
    if (condition.failed || condition.bytes >= sizeof when) {
        out->failed = true;
        conure_buffer_free(&condition);
        return;
    }
    memcpy(when, condition.data, condition.bytes + 1);
    conure_buffer_free(&condition);
    for (const conure_option *o = command->options; o && o->kind; o++) {
        conure_buffer_format(out, "complete -c conure -n '%s' -l %s", when, o->name);
        if (o->letter)
            conure_buffer_format(out, " -s %c", o->letter);
        if (o->kind != CONURE_OPTION_FLAG) {
            conure_buffer_text(out, o->complete == CONURE_COMPLETE_FILE ? " -r -F" : " -x");
            if (o->choices || o->complete == CONURE_COMPLETE_FOLDER) {
                conure_buffer_text(out, " -a '");
                if (o->choices)
                    words(out, o->choices);
                else
                    conure_buffer_text(out, "(__fish_complete_directories)");
                conure_buffer_text(out, "'");
            }
        }
        conure_buffer_text(out, " -d '");
        quoted(out, o->help, false);
        conure_buffer_text(out, "'\n");
    }
    if (command->words || command->complete == CONURE_COMPLETE_COMMAND) {
        conure_buffer_format(out, "complete -c conure -n '%s' -f -a '", when);
        if (command->words)
            words(out, command->words);
        else
            names(out, conure_commands);
        conure_buffer_text(out, "'\n");
    } else if (command->complete == CONURE_COMPLETE_FILE) {
        conure_buffer_format(out, "complete -c conure -n '%s' -F\n", when);
    }
}

static void fish(conure_buffer *out)
{
    conure_buffer_text(out, "# fish completion of conure, made by 'conure completion fish'\n"
                            "complete -c conure -f\n"
                            "complete -c conure -s h -l help -d 'print help'\n");
    for (size_t i = 0; conure_commands[i]; i++) {
        const conure_command *c = conure_commands[i];
        conure_buffer_format(out, "complete -c conure -n __fish_use_subcommand -a %s -d '", c->name);
        quoted(out, c->summary, false);
        conure_buffer_text(out, "'\n");
        for (size_t k = 0; c->children && c->children[k]; k++) {
            conure_buffer_format(out,
                                 "complete -c conure -n '__fish_seen_subcommand_from %s' -a %s -d '",
                                 c->name, c->children[k]->name);
            quoted(out, c->children[k]->summary, false);
            conure_buffer_text(out, "'\n");
        }
    }
    each(out, fish_command);
}

bool conure_completion(conure_buffer *out, const char *shell)
{
    if (strcmp(shell, "bash") == 0)
        bash(out);
    else if (strcmp(shell, "zsh") == 0)
        zsh(out);
    else if (strcmp(shell, "fish") == 0)
        fish(out);
    else
        return false;
    return true;
}
