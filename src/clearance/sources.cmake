# What proves an engine: references, parity, tolerances.  A library of its own beside the core, so that an embedder of the core
# carries none of it.
add_library(conure_clearance STATIC
    ${CMAKE_CURRENT_LIST_DIR}/agreement.c
    ${CMAKE_CURRENT_LIST_DIR}/candidate.c
    ${CMAKE_CURRENT_LIST_DIR}/candidate_engine.c
    ${CMAKE_CURRENT_LIST_DIR}/candidate_exec.c
    ${CMAKE_CURRENT_LIST_DIR}/check.c
    ${CMAKE_CURRENT_LIST_DIR}/chunk.c
    ${CMAKE_CURRENT_LIST_DIR}/diagnose.c
    ${CMAKE_CURRENT_LIST_DIR}/diagnose_plot.c
    ${CMAKE_CURRENT_LIST_DIR}/errors.c
    ${CMAKE_CURRENT_LIST_DIR}/faults.c
    ${CMAKE_CURRENT_LIST_DIR}/features.c
    ${CMAKE_CURRENT_LIST_DIR}/gates.c
    ${CMAKE_CURRENT_LIST_DIR}/judge.c
    ${CMAKE_CURRENT_LIST_DIR}/judge_audio.c
    ${CMAKE_CURRENT_LIST_DIR}/judge_noise.c
    ${CMAKE_CURRENT_LIST_DIR}/judge_parity.c
    ${CMAKE_CURRENT_LIST_DIR}/live.c
    ${CMAKE_CURRENT_LIST_DIR}/noise_floor.c
    ${CMAKE_CURRENT_LIST_DIR}/nemo.c
    ${CMAKE_CURRENT_LIST_DIR}/parity.c
    ${CMAKE_CURRENT_LIST_DIR}/plain.c
    ${CMAKE_CURRENT_LIST_DIR}/plot.c
    ${CMAKE_CURRENT_LIST_DIR}/plot_canvas.c
    ${CMAKE_CURRENT_LIST_DIR}/plot_heat.c
    ${CMAKE_CURRENT_LIST_DIR}/plot_text.c
    ${CMAKE_CURRENT_LIST_DIR}/probe.c
    ${CMAKE_CURRENT_LIST_DIR}/record.c
    ${CMAKE_CURRENT_LIST_DIR}/reference_read.c
    ${CMAKE_CURRENT_LIST_DIR}/reference_write.c
    ${CMAKE_CURRENT_LIST_DIR}/report_csv.c
    ${CMAKE_CURRENT_LIST_DIR}/report_heard.c
    ${CMAKE_CURRENT_LIST_DIR}/report_html.c
    ${CMAKE_CURRENT_LIST_DIR}/report_json.c
    ${CMAKE_CURRENT_LIST_DIR}/report_md.c
    ${CMAKE_CURRENT_LIST_DIR}/report_measured.c
    ${CMAKE_CURRENT_LIST_DIR}/report_page.c
    ${CMAKE_CURRENT_LIST_DIR}/self_test.c
    ${CMAKE_CURRENT_LIST_DIR}/serve.c
    ${CMAKE_CURRENT_LIST_DIR}/stage_inputs.c
    ${CMAKE_CURRENT_LIST_DIR}/stage_latency.c
    ${CMAKE_CURRENT_LIST_DIR}/stage_parity.c
    ${CMAKE_CURRENT_LIST_DIR}/stage_reference.c
    ${CMAKE_CURRENT_LIST_DIR}/stage_steps.c
    ${CMAKE_CURRENT_LIST_DIR}/stages.c
    ${CMAKE_CURRENT_LIST_DIR}/summary.c
    ${CMAKE_CURRENT_LIST_DIR}/tolerance.c)
target_link_libraries(conure_clearance PUBLIC conure_private)
# The published table is part of the program.
set(note ${PROJECT_SOURCE_DIR}/tolerances/note-2026-01.json)
set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/tolerance.c PROPERTIES OBJECT_DEPENDS ${note}
    COMPILE_DEFINITIONS "CONURE_TOLERANCE_FILE=\"${note}\"")
# Millions of values a chunk are looked at: gcc 12 makes wide instructions of such loops with -O3 only.
set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/errors.c PROPERTIES COMPILE_OPTIONS $<$<CONFIG:Release>:-O3>)
