"""State of train.py -> .nemo, float32.  Needs nemo_toolkit[asr] 2.7.3 (a CPU will do).

Numbers are cut to 12 significant bits where an int8 file keeps them as float32: norms, biases, the embedding, the scales of matrices.
That changes them by 0.01 % and makes the packed file 2 % smaller, as zeros pack.

usage: export.py STATE.pt TOKENIZER.model OUT.nemo       (of a shipped model: golden.py --nemo)
"""
import os, sys, tempfile
import sentencepiece
import torch
from omegaconf import OmegaConf
import nemo.collections.asr as nemo_asr
from model import MATRICES

DURATIONS = [0, 1, 2, 3, 4]


def write_tokenizer(path, folder):
    sp = sentencepiece.SentencePieceProcessor(model_file=path)
    V = sp.get_piece_size()
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, 'tokenizer.model'), 'wb') as f:
        f.write(open(path, 'rb').read())
    with open(os.path.join(folder, 'tokenizer.vocab'), 'w') as f:
        f.writelines(f'{sp.id_to_piece(i)}\t{sp.get_score(i):g}\n' for i in range(V))
    with open(os.path.join(folder, 'vocab.txt'), 'w') as f:           # as NeMo's own tool writes it
        for i in range(V):
            piece = sp.id_to_piece(i)
            word = piece[1:] if piece.startswith('\u2581') else '##' + piece
            if piece != '<unk>' and word:
                f.write(word + '\n')
    return [sp.id_to_piece(i) for i in range(V)]


def configuration(state, vocabulary, tokenizer_dir):
    D = state['encoder.pre_encode.out.weight'].shape[0]
    layers = 1 + max(int(k.split('.')[2]) for k in state if k.startswith('encoder.layers.'))
    hidden = state['joint.pred.weight'].shape[1]
    joint = state['joint.pred.weight'].shape[0]
    V = len(vocabulary)
    asr = 'nemo.collections.asr.modules.'
    return OmegaConf.create(dict(
        sample_rate=16000, compute_eval_loss=False, log_prediction=True, rnnt_reduction='mean_volume', skip_nan_grad=False,
        model_defaults=dict(enc_hidden=D, pred_hidden=hidden, joint_hidden=joint, tdt_durations=DURATIONS, num_tdt_durations=5),
        train_ds=dict(manifest_filepath=None, sample_rate=16000, batch_size=16, shuffle=True, num_workers=0, pin_memory=True, max_duration=20.0,
                      min_duration=0.1, use_start_end_token=False),
        validation_ds=dict(manifest_filepath=None, sample_rate=16000, batch_size=16, shuffle=False, num_workers=0, pin_memory=True,
                           use_start_end_token=False),
        tokenizer=dict(dir=tokenizer_dir, type='bpe'),
        preprocessor=dict(_target_=asr + 'AudioToMelSpectrogramPreprocessor', sample_rate=16000, normalize='per_feature', window_size=0.025,
                          window_stride=0.01, window='hann', features=128, n_fft=512, log=True, frame_splicing=1, dither=0.0, pad_to=0, pad_value=0.0),
        spec_augment=dict(_target_=asr + 'SpectrogramAugmentation', freq_masks=2, time_masks=8, freq_width=27, time_width=0.05),
        encoder=dict(_target_=asr + 'ConformerEncoder', feat_in=128, feat_out=-1, n_layers=layers, d_model=D, use_bias=False,
                     subsampling='dw_striding', subsampling_factor=8, subsampling_conv_channels=state['encoder.pre_encode.conv.0.weight'].shape[0],
                     causal_downsampling=False, reduction=None, reduction_position=None, reduction_factor=1, ff_expansion_factor=4,
                     self_attention_model='rel_pos', n_heads=state['encoder.layers.0.self_attn.pos_bias_u'].shape[0], att_context_size=[-1, -1],
                     att_context_style='regular', xscaling=False, untie_biases=True, pos_emb_max_len=5000,
                     conv_kernel_size=state['encoder.layers.0.conv.depthwise_conv.weight'].shape[2], conv_norm_type='batch_norm',
                     conv_context_size=None, dropout=0.1, dropout_pre_encoder=0.1, dropout_emb=0.0, dropout_att=0.1,
                     stochastic_depth_drop_prob=0.0, stochastic_depth_mode='linear', stochastic_depth_start_layer=1),
        decoder=dict(_target_=asr + 'RNNTDecoder', normalization_mode=None, random_state_sampling=False, blank_as_pad=True,
                     prednet=dict(pred_hidden=hidden, pred_rnn_layers=2, t_max=None, dropout=0.2), vocab_size=V),
        joint=dict(_target_=asr + 'RNNTJoint', log_softmax=None, preserve_memory=False, fuse_loss_wer=False, fused_batch_size=4,
                   jointnet=dict(joint_hidden=joint, activation='relu', dropout=0.1, encoder_hidden=D, pred_hidden=hidden),
                   num_extra_outputs=5, num_classes=V, vocabulary=vocabulary),
        decoding=dict(strategy='greedy_batch', model_type='tdt', durations=DURATIONS, greedy=dict(max_symbols=10),
                      beam=dict(beam_size=2, return_best_hypothesis=False, score_norm=True, tsd_max_sym_exp=50, alsd_max_target_len=2.0)),
        loss=dict(loss_name='tdt', tdt_kwargs=dict(fastemit_lambda=0.0, clamp=-1.0, durations=DURATIONS, sigma=0.05, omega=0.0)),
        labels=vocabulary))


def short(x):
    """To 12 significant bits."""
    mantissa, exponent = torch.frexp(x.float())
    return torch.ldexp((mantissa * 4096).round() / 4096, exponent)


def shortened(state):
    """A matrix is as int8 has it: whole numbers up to 127 times a row's scale, and 127 times a short number is exact."""
    out = {}
    for name, x in state.items():
        if x.dtype == torch.int64:
            out[name] = x
        elif x.dim() > 1 and MATRICES.search(name):
            rows = x.float().flatten(1)
            scale = rows.abs().amax(1, keepdim=True).clamp(min=1e-12) / 127
            out[name] = ((rows / scale).round() * short(scale)).view(x.shape)
        else:
            out[name] = short(x)
    return out


def build(state, tokenizer, folder):
    """A NeMo model of a state dict, whose matrices may come as [rows][columns] whatever NeMo's shapes."""
    vocabulary = write_tokenizer(tokenizer, os.path.join(folder, 'tokenizer'))
    model = nemo_asr.models.EncDecRNNTBPEModel(cfg=configuration(state, vocabulary, os.path.join(folder, 'tokenizer')), trainer=None)
    own = model.state_dict()
    state = {k: (v if v.dtype == torch.int64 else v.float()).view(own[k].shape) for k, v in state.items() if not k.startswith('ctc.')}
    result = model.load_state_dict(state, strict=False)
    assert not result.unexpected_keys, result.unexpected_keys
    missing = [k for k in result.missing_keys if not k.endswith('num_batches_tracked')]
    assert sorted(missing) in ([], ['preprocessor.featurizer.fb', 'preprocessor.featurizer.window']), missing
    return model.eval()


if __name__ == '__main__':
    state, tokenizer, out = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        model = build(shortened(torch.load(state, map_location='cpu')), tokenizer, folder)
        model.save_to(out)
    print(out, os.path.getsize(out), 'parameters', sum(q.numel() for q in model.parameters()))
